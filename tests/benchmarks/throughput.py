"""
How many runs a second one process delivers to a server that answers at once, and how long its exit takes elsewhere.

    python tests/benchmarks/throughput.py

The server is another process on loopback. The runs are recorded first, so that all of it is delivering; the rate is one
core's, most of it the HTTP library's. Nothing is asserted.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 2_000
AT_EXIT = 200
DELAY = 0.05

RECORD = f"""
import time
from xpander_track import flush, tracked_task
def runs(count):
    for _ in range(count):
        with tracked_task(input="question") as run:
            run.set_result("answer")
runs(1)
flush()
begun = time.monotonic()
runs({RUNS})
recorded = time.monotonic()
delivered = flush(120).delivered - 1
took = time.monotonic() - begun
print(f"{{delivered}} runs: recorded in {{recorded - begun:.2f}} s, delivered at {{delivered / took:.0f}} per second")
"""
LEAVE = f"""
import time
from xpander_track import tracked_task
for _ in range({AT_EXIT}):
    with tracked_task(input="question") as run:
        run.set_result("answer")
print(time.monotonic(), flush=True)
"""


def main() -> None:
    """Print what was measured."""
    for delay, code in ((0.0, RECORD), (DELAY, LEAVE)):
        server = subprocess.Popen([sys.executable, __file__, str(delay)], stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        try:
            with tempfile.TemporaryDirectory() as home:
                environment = {
                    **os.environ, "XPANDER_TRACK_HOME": home, "XPANDER_BASE_URL": server.stdout.readline().strip(),
                    "XPANDER_API_KEY": "benchmark", "XPANDER_AGENT_ID": "agent",
                }  # fmt: skip
                said = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
                ended = time.monotonic()
                if code is RECORD:
                    print(said.strip())
                else:
                    left = "something" if list(Path(home, "journal").iterdir()) else "nothing"
                    took = ended - float(said)
                    print(
                        f"{AT_EXIT} runs at {delay * 1000:.0f} ms per answer: the exit took {took:.2f} s, left {left}"
                    )
        finally:
            server.kill()
            server.wait()


class Server(asyncio.Protocol):
    """Takes every report."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete."""
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            length = int(self._data[:end].lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            whole = end + 4 + length
            if len(self._data) < whole:
                return
            report = json.loads(self._data[end + 4 : whole])
            self._data = self._data[whole:]
            task = json.dumps({"id": report["id"], "agent_id": "agent", "status": "completed"}).encode()
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(task)
            asyncio.get_running_loop().call_later(self._delay, self._transport.write, head + task)


async def serve(delay: float) -> None:
    """Serve on a port that the system gives, until killed."""
    server = await asyncio.get_running_loop().create_server(lambda: Server(delay), "127.0.0.1", 0, backlog=128)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(serve(float(sys.argv[1])))
    else:
        main()
