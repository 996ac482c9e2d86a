"""Everything at once: neighbours, kills, signals, forks, and a platform that answers as it likes."""

from __future__ import annotations

import random
import signal
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ..platform_server import Answer
from .conftest import journals, next_ids, states

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ..platform_server import PlatformServer
    from .conftest import Ended, Python

    Restart = Callable[..., Ended]

WORKER = """
pid, turn = os.getpid(), 0
while True:
    name = f"run-{pid}-{turn}"
    turn += 1
    with tracked_task(id=name, input="question") as tracked:
        if turn % 3 == 0:
            tracked.report_progress(result="half")
        tracked.set_result("whole")
    say("returned", name)
    if turn % 40 == 0 and os.fork() == 0:
        for number in range(3):
            with tracked_task(id=f"{name}-child-{number}", input="question") as tracked:
                tracked.set_result("whole")
            say("returned", f"{name}-child-{number}")
        os._exit(0)
    time.sleep(0.005)
"""


def moody(server: PlatformServer, chance: random.Random) -> Callable[[Any], Answer | None]:
    """A platform that mostly takes a report, and then may or may not say so."""

    def answer(request: Any) -> Answer | None:
        mood = chance.choice(["well"] * 5 + ["slow", "lost", "lost", "503", "429", "500", "close", "garbage"])
        if mood == "slow":
            time.sleep(chance.uniform(0, 0.3))
        if mood == "lost":  # It took the report; nobody hears of that.
            return replace(server._platform(request), fault="reset_in_body")
        refusals = {
            "503": Answer(503),
            "429": Answer(429, headers={"retry-after": "0"}),
            "500": Answer(500, text="oops"),
            "close": Answer(fault="close"),
            "garbage": Answer(fault="garbage"),
        }
        return refusals.get(mood)

    return answer


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_every_run_that_had_returned_arrives_whole(
    python: Python, server: PlatformServer, restart: Restart, home: Path, seed: int
) -> None:
    chance = random.Random(seed)
    server.always = moody(server, chance)
    ends = [signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP]
    returned: set[str] = set()
    errors: list[str] = []

    def lives(count: int) -> None:
        for _ in range(count):
            process = python(WORKER, server=server, options=[])
            time.sleep(chance.uniform(0.4, 1.5))
            end = chance.choice(ends)
            process.send(end)
            if end == signal.SIGSTOP:
                time.sleep(chance.uniform(0, 0.5))
                process.send(signal.SIGKILL)
            errors.append(process.wait().errors)
            returned.update(line.split()[1] for line in process.lines if line.startswith("returned "))

    neighbours = [threading.Thread(target=lives, args=(4,)) for _ in range(3)]
    for neighbour in neighbours:
        neighbour.start()
    for neighbour in neighbours:
        neighbour.join()
    server.always = None
    restart(server, timeout=60)

    last = {request.json["id"]: request.json for request in server.requests if _is_whole(request)}
    assert returned
    assert [name for name in returned if name not in server.tasks] == []
    assert [name for name in returned if last[name]["result"] != "whole"] == []
    assert (journals(home), set(states(home).values())) == ([], {"delivered"})
    assert next_ids() <= set(server.tasks)
    assert [text for text in errors if "Could not" in text] == []


def _is_whole(request: Any) -> bool:
    return len(request.body) == int(request.headers["content-length"])
