"""
What a tracked function costs its caller in CPU time, beside the same function in a span of ``opentelemetry-sdk``.

    pip install . opentelemetry-sdk opentelemetry-exporter-otlp-proto-http
    python tests/benchmarks/caller_path.py

Both report to a server on loopback, in another process: OpenTelemetry by its batch processor and OTLP exporter, we by
the platform's API. Our runs are on disk when the function returns, spans are not. Measured are rounds of calls in pairs
of random order; the figures are medians over all pairs. Nothing is asserted: compare within one run.
"""

from __future__ import annotations

import http.server
import json
import os
import random
import socketserver
import statistics
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

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
    server = subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        url = server.stdout.readline().strip()
        with tempfile.TemporaryDirectory() as home:
            os.environ.update(
                XPANDER_TRACK_HOME=home, XPANDER_BASE_URL=url, XPANDER_API_KEY="benchmark", XPANDER_AGENT_ID="agent"
            )
            compare("a function that does nothing", *nothing(url))
            compare(f"with {TOOLS} tool calls", *tools(url))
            finish()
    finally:
        server.kill()
        server.wait()


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


class Handler(http.server.BaseHTTPRequestHandler):
    """Takes everything."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """One request."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = b"{}"
        if self.path != "/v1/traces":
            answer = json.dumps({"id": json.loads(body)["id"], "status": "completed"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # as inherited
        """Say nothing."""


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """On a port that the system gives."""

    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        with Server(("127.0.0.1", 0), Handler) as running:
            print(f"http://127.0.0.1:{running.server_port}", flush=True)
            running.serve_forever()
    else:
        main()
