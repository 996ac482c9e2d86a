"""
An agent that answers questions about Python's standard library, and what xpander_track records of its runs.

    python examples/quickstart.py
    python examples/quickstart.py "How do I delete a whole directory tree?" "How do I order a pizza?"

What the agent knows are the docstrings and sources of the Python it runs on, parsed and never executed. It asks no
language model and no network. Of the two questions below one has an answer and the other has none; both are runs.
Without XPANDER_API_KEY the runs are kept on this machine. With it they go to the platform, and nothing here changes.
"""

import ast
import functools
import inspect
import math
import re
import sys
import sysconfig
import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from xpander_track import Run, current_run, flush, track_task, track_tool

QUESTIONS = ["How do I find the median of a list?", "How do I train a neural network?"]
runs: list[Run] = []


def main(questions: list[str]) -> None:
    """Answer each question, then print what was recorded of each run."""
    for question in questions:
        print(f"# {question}\n")
        try:
            print(answer(question))
        except LookupError as error:
            print(f"No answer: {error}")
        print()
    flush(timeout=5)
    for run in runs:
        first_line = (run.result or "").partition("\n")[0]
        print(f"run {run.id}: {run.ending} in {run.duration:.2f} s, {run.receipt.state}")
        print(f"    tools: {', '.join(run.used_tools)}\n    result: {first_line}")
    print("\n`xpander-track runs` lists them, `xpander-track show ID` shows one.")


@track_task(agent_id="stdlib-docs")
def answer(question: str) -> str:
    """The documentation that fits *question* best, and the code behind it."""
    runs.append(current_run())
    name, *others = search(question)
    doc = read_doc(name)
    try:
        code = read_source(name)
    except LookupError as error:  # Recorded as a failed call of the tool; the run goes on without the code.
        code = str(error)
    return f"{doc}\n\n{textwrap.indent(code, '    ')}\n\nSee also: {', '.join(others) or '-'}"


@track_tool
def search(question: str) -> list[str]:
    """
    Names of at most five definitions that fit *question*, the best first.

    A word counts by its rarity in the documentation, and again in a summary and in a name. A definition fits if it
    has half of the question by that count: with less it shares a word with the question, and not the subject.

    Raises:
        LookupError: If nothing fits.
    """
    asked = words(question.lower()) - QUESTION_WORDS
    texts = {name: words(f"{name} {it.doc}") for name, it in library().items()}
    mentions = Counter(word for text in texts.values() for word in asked & text)
    rarity = {word: math.log((len(texts) + 1) / (mentions[word] + 1)) for word in asked}

    def weight(found: set[str]) -> float:
        return math.fsum(rarity[word] for word in asked & found)

    def score(name: str) -> float:
        summary, title = words(library()[name].doc.partition("\n\n")[0]), words(name.rpartition(".")[2])
        return 2 * weight(texts[name]) + weight(summary) + 2 * weight(title) / len(title)

    fitting = [name for name, text in texts.items() if 2 * weight(text) >= weight(asked) > 0]
    if not fitting:
        raise LookupError("Nothing in the documentation of the standard library is about that.")
    return sorted(fitting, key=lambda name: (-score(name), len(name), name))[:5]


@track_tool
def read_doc(name: str) -> str:
    """The signature and the docstring of *name*."""
    return f"{library()[name].signature}\n\n{library()[name].doc}"


@track_tool
def read_source(name: str, lines: int = 8) -> str:
    """The first *lines* of code under the docstring of *name*; LookupError if there are none in Python."""
    code = library()[name].code
    if not code:
        raise LookupError(f"There is no Python code under the docstring of {name}.")
    return textwrap.dedent("\n".join(code[:lines])).strip("\n")


Documentable = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class Definition(NamedTuple):
    """A documented module, class or function."""

    signature: str
    doc: str
    code: list[str]


@functools.cache
def library() -> dict[str, Definition]:
    """All that is public and documented in the standard library's modules, by name."""
    folder = Path(sysconfig.get_path("stdlib"))
    packages = {path.parent.name: path for path in folder.glob("*/__init__.py")}
    files = packages | {path.stem: path for path in folder.glob("*.py")}
    found: dict[str, Definition] = {}
    for module in filter(is_public, sys.stdlib_module_names):
        if module in files:
            source = files[module].read_text("utf-8")
            found.update(parsed(module, ast.parse(source), source.splitlines()))
        elif module in sys.modules:  # Loaded already and written in C, as builtins and math are.
            found.update(inspected(module, sys.modules[module]))
    return found


def parsed(name: str, node: Documentable, lines: list[str]) -> Iterator[tuple[str, Definition]]:
    """The definition that *node* makes, and those inside it."""
    signature, inside = name, node.body
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        signature, inside = f"{name}({ast.unparse(node.args)})", []
    if doc := ast.get_docstring(node):
        yield name, Definition(signature, doc, lines[node.body[0].end_lineno : node.body[-1].end_lineno])
    for child in inside:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and is_public(child.name):
            yield from parsed(f"{name}.{child.name}", child, lines)


def inspected(name: str, value: object) -> Iterator[tuple[str, Definition]]:
    """The definition of *value*, and those inside it."""
    if doc := inspect.getdoc(value):
        yield name, Definition(name, doc, [])
    for child, member in vars(value).items() if isinstance(value, ModuleType | type) else ():
        if is_public(child) and callable(member):
            yield from inspected(f"{name}.{child}", member)


def is_public(name: str) -> bool:
    """Whether *name* is for everyone to use."""
    return not name.startswith("_")


def words(text: str) -> set[str]:
    """The words of *text*, CamelCase taken apart and endings cut off, so that "lists" finds "list"."""
    found = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", text)
    return {re.sub(r"(?<=...)(ing|ed|es|s|e)$", "", word.lower()) for word in found}


QUESTION_WORDS = words(
    "a an and are as at be by can could do does find for from get give how i in into is it make me my of on one or "
    "some that the there this to use using want what when where which who why will with would you"
)

if __name__ == "__main__":
    main(sys.argv[1:] or QUESTIONS)
