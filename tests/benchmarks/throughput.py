"""
How many runs a second one process delivers to a server that answers at once, and how long its exit takes elsewhere.

    python tests/benchmarks/throughput.py

The server is another process on loopback. The runs are recorded first, so that all of it is delivering; the rate is one
core's, most of it the HTTP library's. Nothing is asserted.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from server import served

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
        with served(delay) as url, tempfile.TemporaryDirectory() as home:
            environment = {
                **os.environ, "XPANDER_TRACK_HOME": home, "XPANDER_BASE_URL": url, "XPANDER_API_KEY": "benchmark",
                "XPANDER_AGENT_ID": "agent",
            }  # fmt: skip
            said = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
            ended = time.monotonic()
            if code is RECORD:
                print(said.strip())
            else:
                left = "something" if list(Path(home, "journal").iterdir()) else "nothing"
                took = ended - float(said)
                print(f"{AT_EXIT} runs at {delay * 1000:.0f} ms per answer: the exit took {took:.2f} s, left {left}")


if __name__ == "__main__":
    main()
