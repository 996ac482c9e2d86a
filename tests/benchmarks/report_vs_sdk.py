"""
How long one report takes on loopback: ours against the real SDK's, in one run.

    python tests/benchmarks/report_vs_sdk.py --sdk-python PATH

PATH is a Python that has ``xpander_sdk``. The platform and both packages have a process each. Rounds alternate between
the packages and forms, so that a busy machine is busy for all. Prints the median of each and the ratio; exits with 1
where ours is not at least 20 times quicker.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
BAR = 20
FORMS = ("sync", "async")
REPORT: dict[str, Any] = {
    "agent_id": "agent-1",
    "id": "run-1",
    "input": "What is new in Q4?",
    "llm_response": {"choices": [{"message": {"role": "assistant", "content": "Revenue grew 22 %." * 20}}]},
    "result": "Revenue grew 22 %.",
    "duration": 1.5,
    "used_tools": ["web_search", "fetch_pdf"],
}


def main() -> int:
    """Run both, print the figures, and say whether the bar is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sdk-python", help="a Python that has xpander_sdk; default: this one", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--calls", type=int, default=20, help="reports of each package and form in a round")
    parser.add_argument("--worker", nargs=2, metavar=("PACKAGE", "URL"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(*options.worker)
        return 0

    platform = start(sys.executable, str(TESTS / "platform_server.py"))
    url = read(platform).strip()
    pythons = {"xpander_track.platform": sys.executable, "xpander_sdk": options.sdk_python}
    workers = {
        package: start(python, __file__, "--worker", package, url, PYTHONPATH=str(TESTS.parent))
        for package, python in pythons.items()
    }
    times: dict[tuple[str, str], list[float]] = {(package, form): [] for package in workers for form in FORMS}
    try:
        for number in range(options.rounds + 1):
            for (package, form), collected in times.items():
                measured = ask(workers[package], form, options.calls)
                collected.extend(measured if number else [])  # The first round warms up.
    finally:
        for process in (*workers.values(), platform):
            process.kill()
            process.communicate()
    return show(times)


def show(times: dict[tuple[str, str], list[float]]) -> int:
    """Print medians and ratios; 1 where the bar is missed."""
    worst = float("inf")
    print(f"{'form':8}{'xpander_track':>16}{'xpander_sdk':>16}{'ratio':>10}   (median ms of one report)")
    for form in FORMS:
        ours = statistics.median(times["xpander_track.platform", form])
        theirs = statistics.median(times["xpander_sdk", form])
        worst = min(worst, theirs / ours)
        print(f"{form:8}{ours:16.3f}{theirs:16.3f}{theirs / ours:10.1f}")
    print(f"bar: at least {BAR} times less time: {'met' if worst >= BAR else 'MISSED'}")
    return 0 if worst >= BAR else 1


def start(*command: str, **environment: str) -> subprocess.Popen[str]:
    """A process to talk to by lines."""
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )


def read(process: subprocess.Popen[str]) -> str:
    """The next line that *process* prints."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"{process.args!r} has ended")
    return line


def ask(process: subprocess.Popen[str], form: str, calls: int) -> list[float]:
    """Milliseconds of each of *calls* reports by a worker."""
    assert process.stdin is not None
    process.stdin.write(f"{form} {calls}\n")
    process.stdin.flush()
    measured: list[float] = json.loads(read(process))
    return measured


def work(package: str, url: str) -> None:
    """The worker: reports as often as asked, one after the other, and answers with the times."""
    xpander = importlib.import_module(package)
    configuration = xpander.Configuration(api_key="key-1", base_url=url)
    arguments = {**REPORT, "configuration": configuration, "tokens": xpander.Tokens(prompt_tokens=5)}
    for line in sys.stdin:
        form, calls = line.split()
        measure = measure_sync if form == "sync" else measure_async
        print(json.dumps(measure(xpander.Task, arguments, int(calls))), flush=True)


def measure_sync(task: Any, arguments: dict[str, Any], calls: int) -> list[float]:
    """Milliseconds of each call of the sync form."""
    times = []
    for _ in range(calls):
        started = time.perf_counter()
        task.report_external_task(**arguments)
        times.append((time.perf_counter() - started) * 1000)
    return times


def measure_async(task: Any, arguments: dict[str, Any], calls: int) -> list[float]:
    """Milliseconds of each call of the async form, in one loop."""

    async def measure() -> list[float]:
        times = []
        for _ in range(calls):
            started = time.perf_counter()
            await task.areport_external_task(**arguments)
            times.append((time.perf_counter() - started) * 1000)
        return times

    return asyncio.run(measure())


if __name__ == "__main__":
    sys.exit(main())
