"""
What a tracked function costs its caller in CPU time, beside the same function in a span of ``opentelemetry-sdk``.

    pip install . opentelemetry-sdk opentelemetry-exporter-otlp-proto-http
    python tests/benchmarks/caller_path.py

Both report to a server on loopback, in another process: OpenTelemetry by its batch processor and OTLP exporter, we by
the platform's API. Our runs are on disk when the function returns, spans are not. Measured are rounds of calls in pairs
of random order; the figures are medians over all pairs. Nothing is asserted: compare within one run.
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import time
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from server import served

from xpander_track import flush, record_tool, track_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import Tracer

PAIRS = 60
CALLS = 100
TOOLS = 5
# Between two rounds: what was recorded is to be sent meanwhile.
PAUSE = 0.05


def main() -> None:
    """Print what each costs, and the ratios."""
    with served() as url, tempfile.TemporaryDirectory() as home:
        os.environ.update(
            XPANDER_TRACK_HOME=home, XPANDER_BASE_URL=url, XPANDER_API_KEY="benchmark", XPANDER_AGENT_ID="agent"
        )
        compare("a function that does nothing", *nothing(url))
        compare(f"with {TOOLS} tool calls", *tools(url))
        finish()


def compare(what: str, ours: Callable[[], None], theirs: Callable[[], None]) -> None:
    """Measure both in pairs, and print the medians."""
    for function in (ours, theirs):
        per_call(function)
    pairs: list[tuple[float, float]] = []
    for _ in range(PAIRS):
        took: dict[Callable[[], None], float] = {}
        for function in random.sample((ours, theirs), 2):
            took[function] = per_call(function)
            time.sleep(PAUSE)
        pairs.append((took[ours], took[theirs]))
    ratio = statistics.median(our / their for our, their in pairs)
    our, their = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{what:30} ours {our:6.1f} µs   opentelemetry {their:6.1f} µs   ratio {ratio:.2f}")


def per_call(function: Callable[[], None]) -> float:
    """Microseconds of this thread's CPU time for a call."""
    before = time.thread_time()
    for _ in range(CALLS):
        function()
    return (time.thread_time() - before) / CALLS * 1e6


def nothing(url: str) -> tuple[Callable[[], None], Callable[[], None]]:
    """A function that does nothing, with us and with OpenTelemetry."""
    tracer = tracer_to(url)

    @track_task
    def ours() -> None:
        return None

    @tracer.start_as_current_span("run")
    def theirs() -> None:
        return None

    return ours, theirs


def tools(url: str) -> tuple[Callable[[], None], Callable[[], None]]:
    """The same with calls of tools in it."""
    tracer = tracer_to(url)

    @track_task
    def ours() -> None:
        for _ in range(TOOLS):
            record_tool("search")

    @tracer.start_as_current_span("run")
    def theirs() -> None:
        for _ in range(TOOLS):
            with tracer.start_as_current_span("search"):
                pass

    return ours, theirs


def tracer_to(url: str) -> Tracer:
    """A tracer of a provider of its own."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces")))
    return provider.get_tracer("benchmark")


def finish() -> None:
    """Deliver what waits, so that the exit does not."""
    flushed = flush(60)
    print(f"delivered {flushed.delivered} runs, {flushed.pending} wait")


if __name__ == "__main__":
    main()
