"""One execution of an agent: what was captured of it, and how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import operator
import os
import random
import time
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar, cast

from . import settings
from .binding import bound
from .boundary import call_site, caught, guarded, misuse, quietly, say_once
from .capture import Capture, Items
from .current import innermost_run
from .decided import Decided, decided
from .delivery import Receipt, outbox
from .delivery.report import SUCCESSES, Ending, Stage, begun_part, destinations_part, reported, started
from .delivery.routing import destinations
from .describe import isinstance_of, well_formed
from .llm_stream import followed
from .platform import Tokens
from .redaction import Redaction
from .tool_call import ToolCall
from .usage import Chunks, Tally, read
from .usage.shape import MAX_COUNT

if TYPE_CHECKING:
    from collections.abc import Callable

    from .delivery.receipt import Ticket
    from .plain import Json
    from .platform import Configuration, Task

F = TypeVar("F", bound="Callable[..., Any]")
Given = TypeVar("Given")

_TIMEOUTS = (TimeoutError, asyncio.TimeoutError)  # Two types before Python 3.11.
_MAX_TOOL_DETAILS = 1_000
# The name of a tool whose name cannot be kept, by a fault of ours.
_UNKNOWN = "?"


def _as_given(_: object, given: Given) -> Given:
    return given


class _Unset:
    """No result was set, or no count given: None is one."""

    def __repr__(self) -> str:
        return "not given"


_UNSET = _Unset()
_NOT_GIVEN: Any = _UNSET

# Ids from a generator of our own: os.urandom and uuid4 let go of the GIL, which costs 100 µs beside a busy thread.
_ids = random.Random(random.SystemRandom().getrandbits(256))  # noqa: S311  # ids are no secrets


class Run:
    """
    A run, as ``tracked_task`` and ``current_run`` hand it out.

    While it is open, what happens is recorded on it. When it has ended, its methods change nothing more, and its
    attributes tell what was recorded. All methods may be called from any thread. A wrong argument raises ``TypeError``
    or ``ValueError``; nothing else does.
    """

    __slots__ = (
        "__weakref__", "_agent_id", "_beginning", "_chunks", "_destinations", "_duration", "_ending", "_failure",
        "_generation", "_id", "_input", "_is_known", "_is_open", "_items", "_keeps_result", "_name", "_outer",
        "_response", "_result", "_returned", "_started", "_started_at", "_tallies", "_ticket", "_tools",
        "_where_to", "capture",
    )  # fmt: skip

    _input: str | None
    _result: str | _Unset | None
    _returned: str | None
    _failure: str | None
    _ending: Ending | None
    _duration: float | None
    _items: Items | None
    _chunks: Chunks | None
    _response: Any
    _ticket: Ticket | None
    _beginning: bytes | None

    def __init__(
        self,
        now: Decided | None = None,
        id: str | None = None,  # noqa: A002  # the platform's word
        agent_id: str | None = None,
        name: str | None = None,
        configuration: Configuration | None = None,
        outer: Run | None = None,
        *,
        keeps_result: bool = True,
    ) -> None:
        now = now or decided()
        self.capture = now.capture
        self._id = well_formed(id) if id else _ids.getrandbits(128).to_bytes(16, "big").hex()
        self._agent_id = well_formed(agent_id) if agent_id else now.agent_id
        self._name = name
        self._keeps_result = keeps_result
        if configuration is None:
            self._destinations, self._where_to = now.route or now.find_route()
        else:
            self._destinations = destinations(configuration)
            self._where_to = destinations_part(self._destinations)
        self._generation = _generation
        self._result = _UNSET
        self._input = self._returned = self._failure = self._ending = self._duration = None
        self._items = self._chunks = self._response = self._ticket = self._beginning = None
        # Made when there is something to count; of a run inside of another one, that one's is told as well. The first
        # one counts, should two threads make one at a time.
        self._tallies: list[Tally] = []
        self._outer = None if outer is None else outer.tally
        self._tools: list[ToolCall] = []
        self._is_known = self._is_open = False
        self._started_at = time.time()
        self._started = time.perf_counter()
        if self._agent_id is None:
            _say_no_agent()

    # --- what is known ---

    @property
    def id(self) -> str:
        """The run's id: the platform's task has the same."""
        return self._id

    @property
    def agent_id(self) -> str | None:
        """The agent that ran; None where none was given."""
        return self._agent_id

    @property
    def ending(self) -> Ending | None:
        """``completed``, ``failed``, ``cancelled``, ``timed_out`` or ``stopped_early``; None while it is open."""
        return self._ending

    @property
    def is_open(self) -> bool:
        """Whether it has begun and has not ended."""
        return self._is_open

    @property
    def is_success(self) -> bool | None:
        """Whether it completed, or was stopped early by its consumer; None while it is open."""
        return None if self._ending is None else self._ending in SUCCESSES

    @property
    def duration(self) -> float:
        """Seconds from its start to its end, or until now."""
        return time.perf_counter() - self._started if self._duration is None else self._duration

    @property
    def input(self) -> str | None:
        """What it was given, as text."""
        return self._input

    @property
    def result(self) -> str | None:
        """What came of it, as text: what was set, else what was returned, else the error."""
        if isinstance(self._result, _Unset):
            return self._returned if self._failure is None else self._failure
        return self._result

    @property
    def tokens(self) -> Tokens | None:
        """The tokens recorded so far; None if there are none, and None for each count that nobody reported."""
        return self.tally.tokens() if self._tallies else None

    @property
    def used_tools(self) -> list[str]:
        """Names of the tool calls in order; if none was recorded, of those that the model asked for."""
        if self._tools or not self._tallies:
            return [call.name for call in self._tools]
        return self.tally.tools()

    @property
    def receipt(self) -> Receipt:
        """What has become of the report of this run."""
        if self._ticket is not None:
            return self._ticket.receipt
        where = self._destinations[0].where if self._destinations else ""
        return Receipt("pending", where, "the run is open" if self._is_open else "the run is not reported from here")

    def __bool__(self) -> bool:
        """True: it is a run. What ``current_run()`` gives where there is none is False."""
        return True

    def __repr__(self) -> str:
        return f"<Run {self._id} of {self._agent_id or 'no agent'}: {self._ending or 'open'}>"

    def __copy__(self) -> Run:
        """Itself: there is one of each run."""
        return self

    def __deepcopy__(self, memo: object) -> Run:
        return self

    def __reduce__(self) -> tuple[Callable[[], Run], tuple[()]]:
        """In another process it is no run: a run is its own process's."""
        return _no_run, ()

    # --- recording ---

    @guarded("record an input")
    def set_input(self, value: object) -> None:
        """What the run was given: a text, or anything else as JSON."""
        if self._records("set_input"):
            self._input = self.capture.text(value)
            self._beginning = None

    @guarded("record a result")
    def set_result(self, value: object) -> None:
        """What came of the run: a text, or anything else as JSON. It wins over a returned value and over an error."""
        if self._records("set_result"):
            self._result = self.capture.text(value)

    @guarded("record a failure")
    def fail(self, reason: str) -> None:
        """
        The run has failed, though nothing is raised.

        Args:
            reason: Becomes the result, unless one is set.

        Raises:
            TypeError: *reason* is not a text.
        """
        _check_name("reason", reason, may_be_empty=True)
        if self._records("fail"):
            self._failure = self.capture.text(reason)

    @guarded("read a model's response")
    def record_llm(self, response: object) -> None:
        """
        A response of a language model: its tokens add up, its tool calls are noted, and the last one is kept raw.

        Args:
            response: What the provider's client or a framework gave, or its dict form: see ``usage.read_usage`` for
                all that is read. The same response counts once, by its id, else by identity, however often it is
                recorded, also as a part of a framework's result. The chunks of a stream may be recorded one by one,
                or as a list; or let ``llm_stream`` do it.
        """
        if self._records("record_llm"):
            with quietly("read a model's response", calls_user_code=True):
                self._response = response
                if (reading := read(response)) is not None:
                    self.tally.add(reading, response)

    @guarded("follow a model's stream", instead=_as_given)
    def llm_stream(self, stream: Given) -> Given:
        """
        The same stream, to be read instead of the one given: ``for chunk in run.llm_stream(stream)``, or ``async for``.

        Each chunk is passed on at once and as it is. Tokens and tool calls are those that the chunks say, as far as
        they were read before the run's end: also if you stop early, or the stream breaks. Where no usage is told, none
        is counted (OpenAI's streams tell it with ``stream_options={"include_usage": True}``). All its methods and
        attributes are there. What is read in other ways than by iterating is not seen; but for ``text_stream`` and the
        like of the helpers that anthropic's and openai's ``.stream(...)`` give, entered with ``with``.

        Args:
            stream: What the provider's client gave: an iterator or asynchronous iterator of chunks or events, also
                in a context manager. ``llm_response`` becomes the last chunk that has a usage.

        Raises:
            TypeError: It can neither be iterated nor entered: an awaitable must be awaited first.
        """
        chunks = Chunks()
        read_instead: Given = followed(stream, chunks)
        if not self._records("llm_stream"):
            return stream
        self.tally.follow(chunks)
        self._response = chunks
        return read_instead

    @guarded("record tokens")
    def record_tokens(
        self,
        tokens: Tokens | None = _NOT_GIVEN,
        *,
        prompt_tokens: int | None = _NOT_GIVEN,
        completion_tokens: int | None = _NOT_GIVEN,
        cache_read_tokens: int | None = _NOT_GIVEN,
        cache_write_tokens: int | None = _NOT_GIVEN,
    ) -> None:
        """
        Tokens that were used; they add up.

        Args:
            tokens: A ``Tokens``; or give the counts by name, of which None is "not known". Where none is known, nothing
                is recorded.

        Raises:
            TypeError: Both or neither are given, or they are of another type.
            ValueError: A count is not a whole number of at least 0.
        """
        counts = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "cache_read_tokens": cache_read_tokens,
            "cache_write_tokens": cache_write_tokens,
        }
        given = [count for count in (tokens, *counts.values()) if count is not _NOT_GIVEN]
        known = {name: count for name, count in counts.items() if count is not None and count is not _NOT_GIVEN}
        if tokens is _NOT_GIVEN:
            tokens = None
        if not given or (tokens is not None and known):
            raise misuse(TypeError("record_tokens() takes a Tokens, or counts by name: one of the two."))
        if tokens is not None:
            if not isinstance(tokens, Tokens):
                raise misuse(TypeError(f"record_tokens() takes a Tokens, not a {type(tokens).__name__}."))
            # Whoever has changed it since it was made may have put anything into it.
            known = {name: count for name in counts if (count := getattr(tokens, name)) is not None}
        checked = {name: _checked_count(name, count) for name, count in known.items()}
        if checked and self._records("record_tokens"):
            self.tally.add_tokens(Tokens(**{**dict.fromkeys(counts), **checked}))

    @guarded("record a tool call")
    def record_tool(
        self,
        name: str,
        *,
        arguments: object = None,
        result: object = None,
        error: BaseException | str | None = None,
        duration: float | None = None,
    ) -> None:
        """
        A tool call that has happened.

        Args:
            name: The tool's name.
            arguments: What it was given: anything.
            result: What it gave: anything.
            error: How it failed: the exception, or a text.
            duration: Seconds it took.

        Raises:
            TypeError, ValueError: *name* is not a text or is empty, or *duration* is not a number of seconds.
        """
        self.add_call(name, arguments, result, error, duration)

    @guarded("record a tool call", instead=lambda *_, **__: NO_CALL)
    def tool(self, name: str, arguments: object = None) -> ToolCall:
        """
        A tool call, to be run in a ``with`` or ``async with`` block: timed, its exception recorded and passed on.

        Args:
            name: The tool's name.
            arguments: What it is given: anything.

        Raises:
            TypeError, ValueError: *name* is not a text, or is empty.
        """
        _check_name("name", name)
        call = ToolCall(_UNKNOWN, self.capture, self)
        with quietly("record a tool's arguments"):
            call.name = self.capture.name(name)
            if self._is_open:
                call.note(arguments=arguments)
        return call

    @guarded("report progress")
    def report_progress(self, *, result: object = None) -> None:
        """
        Report the run as it is now; its end will update the same record.

        Args:
            result: What has come of it so far.
        """
        if self._records("report_progress"):
            self._post("progress", self.duration, None if result is None else self.capture.text(result))

    @guarded("bind a function to a run", instead=_as_given)
    def bind(self, function: F) -> F:
        """
        *function*, so that this run is current while it runs, wherever that may be.

        For what does not inherit it: callbacks, queues, threads that exist already. What child tasks, new threads and
        thread pools do needs none of this. After the run's end it is as if it were not there.

        Args:
            function: A callable of any kind; it stays for its callers what it is.

        Raises:
            TypeError: *function* cannot be called.
        """
        return cast("F", bound(self, function))

    # --- what becomes of it ---

    @guarded("wait for a run's report")
    def reported(self, timeout: float | None = None) -> Task | None:
        """
        Wait until the run, which has ended, is reported.

        Args:
            timeout: Seconds, at most; None waits for as long as it takes.

        Returns:
            The platform's Task; None if there is none (yet): ``receipt`` says why.
        """
        settings.check_seconds("timeout", timeout)
        return None if self._ticket is None else self._ticket.wait(timeout).task

    @guarded("wait for a run's report")
    async def areported(self, timeout: float | None = None) -> Task | None:  # as in DESIGN
        """``reported`` for asynchronous code."""
        settings.check_seconds("timeout", timeout)
        return None if self._ticket is None else (await self._ticket.await_(timeout)).task

    def is_held_up(self) -> bool:
        """Whether its destination is known to be down: then nobody should wait for it."""
        return bool(self._destinations) and outbox.get().is_down(self._destinations[0].key)

    # --- its life: called by what tracks ---

    @property
    def tally(self) -> Tally:
        """What counts its usage."""
        if not self._tallies:
            self._tallies.append(Tally(self._outer))
        return self._tallies[0]

    def make_known(self) -> Run:
        """Somebody gets hold of it, and may ask what becomes of its report."""
        self._is_known = True
        return self

    def add_call(
        self, name: str, arguments: object, result: object, error: BaseException | str | None, duration: float | None
    ) -> None:
        """``record_tool``, for what has a boundary of its own."""
        _check_name("name", name)
        if duration is not None:
            settings.check_seconds("duration", duration)
        if not self._is_open and not self._records("record_tool"):
            return
        call = ToolCall(_UNKNOWN, self.capture)
        try:
            call.name = self.capture.name(name)
            if not (arguments is None and result is None and error is None and duration is None):
                call.note(arguments=arguments, result=result, error=error, duration=duration)
        except Exception as own:  # noqa: BLE001  # whatever it is, the call is recorded
            caught("record a tool call", own)
        self._tools.append(call)

    def add_tool(self, call: ToolCall) -> None:
        """A tool call has begun, or has happened."""
        if self._records("record_tool"):
            self._tools.append(call)

    def add_item(self, item: object) -> None:
        """The body, a generator's, has given *item*."""
        if not self._is_open:
            return
        if not isinstance_of(item, (str, bytes)):
            if self._chunks is None:
                self._chunks = Chunks()
            self._chunks.take(item)
            self._chunks.read_quietly()  # At once: the items are not ours to keep.
        if self._keeps_result and self._result is _UNSET:
            if self._items is None:
                self._items = Items(self.capture)
            self._items.add(item)

    def begin(self, given: str | None) -> None:
        """The body starts now, with this input."""
        self._input = given
        self._is_open = True
        outbox.get().post(started(self._begun()), self._id, self._destinations, is_end=False)
        self._started = time.perf_counter()

    def end(self, error: BaseException | None, returned: object = None) -> None:
        """The body has ended, by *error* or with *returned*. Once: what comes later changes nothing."""
        if not self._is_open:
            return
        self._duration = time.perf_counter() - self._started
        self._is_open = False
        self._ending = "completed" if error is None and self._failure is None else "failed"
        if error is not None:
            with quietly("tell how a run ended"):
                self._ending = ending_of(error)
        if self._generation != _generation:
            return  # A forked child leaves the block too; the run is its parent's.
        try:
            self._sum_up(error, returned)
        except Exception as own:  # noqa: BLE001  # whatever it is, the run is reported
            caught("record how a run ended", own)
        try:
            if self._is_known:
                self._ticket = outbox.get().follow(self._id, self._destinations[0])
            self._post("ended", self._duration, self.result)
        except Exception as own:  # noqa: BLE001  # whatever it is
            caught("report a run", own)
        self._response = self._beginning = None

    def _sum_up(self, error: BaseException | None, returned: object) -> None:
        if error is not None and self._ending not in SUCCESSES and self._failure is None:
            self._failure = self.capture.error(error)
        outcome = returned if error is None else error
        if outcome is not None or self._tallies or self._chunks is not None:
            try:
                self._count(outcome)
            except Exception as own:  # noqa: BLE001  # whatever it is, the result is kept
                caught("count what a run used", own)
        if returned is not None and self._keeps_result and self._result is _UNSET:
            self._returned = self.capture.text(returned)
        if self._items is not None:
            self._returned = self._items.text()

    def _count(self, outcome: object) -> None:
        """If nothing was counted in the run, what came of it tells: what has failed has cost as well."""
        if self._tallies:
            self.tally.settle()
            if self.tally.tokens() is not None:
                return
        if self._chunks is not None:
            self.tally.follow(self._chunks, but_inside=True)
        elif (reading := read(outcome)) is not None:
            self.tally.add(reading, outcome, but_inside=True)

    def _post(self, stage: Stage, duration: float, result: str | None) -> None:
        """Report it as it is now."""
        news: dict[str, object] = {"stage": stage, "ending": self._ending, "duration": duration, "result": result}
        if self._response is not None:
            news["llm_response"] = self._raw_response()
        try:
            if self._tallies and (tokens := self.tally.tokens()) is not None:
                news["tokens"] = tokens.model_dump(exclude={"total_tokens"})
        except Exception as own:  # noqa: BLE001  # whatever it is, the rest is reported
            caught("report a run's tokens", own)
        try:
            if (self._tools or self._tallies) and (used_tools := self.used_tools):
                news["used_tools"] = used_tools
                news["tool_calls"] = [call.as_data() for call in self._tools[:_MAX_TOOL_DETAILS]]
        except Exception as own:  # noqa: BLE001  # the same
            caught("report a run's tools", own)
        report = reported(news, self._begun())
        outbox.get().post(report, self._id, self._destinations, is_end=stage == "ended")

    def _begun(self) -> bytes:
        """What all reports of it have in common; made once."""
        if self._beginning is None:
            self._beginning = begun_part(
                self._id, self._agent_id, self._name, self._started_at, self._input, self._where_to
            )
        return self._beginning

    def _raw_response(self) -> Json:
        with quietly("keep a model's response", calls_user_code=True):
            raw = self._response.raw if isinstance(self._response, Chunks) else self._response
            return None if raw is None else self.capture.raw(raw)
        return None

    def _records(self, what: str) -> bool:
        if not self._is_open:
            place = call_site()
            message = "%s() at %s: the run is not open (%s), nothing was recorded."
            say_once(f"ended {what} {place}", message, what, place, self._id)
        return self._is_open


class _NoRun(Run):
    """The run where there is none."""

    __slots__ = ()

    def __init__(self) -> None:  # nothing of a run is made, and nothing said
        self.capture = Capture(1, Redaction())
        self._id = ""
        self._agent_id = self._name = self._input = self._failure = self._ticket = None
        self._ending = self._returned = self._response = self._items = self._chunks = None
        self._outer = self._beginning = None
        self._tallies = []
        self._result = _UNSET
        self._destinations = []
        self._where_to = b""
        self._tools = []
        self._keeps_result = self._is_known = self._is_open = False
        self._duration = self._started = self._started_at = 0.0
        self._generation = 0

    def __bool__(self) -> bool:
        return False

    def bind(self, function: F) -> F:
        return function

    def __repr__(self) -> str:
        return "<no run>"

    def _records(self, what: str) -> bool:  # noqa: ARG002  # silently nothing
        return False


def ending_of(error: BaseException) -> Ending:
    """How a run ends that *error* leaves."""
    if isinstance(error, (asyncio.CancelledError, KeyboardInterrupt)):
        return "cancelled"
    if isinstance(error, _TIMEOUTS):
        return "timed_out"
    if isinstance(error, GeneratorExit):
        return "stopped_early"  # The consumer has stopped reading.
    if isinstance(error, SystemExit) and (error.code is None or (type(error.code) in {int, bool} and not error.code)):
        return "completed"
    return "failed"


def _check_name(what: str, value: object, *, may_be_empty: bool = False) -> None:
    if not isinstance(value, str):
        raise misuse(TypeError(f"{what} must be a text, not {type(value).__name__}."))
    if not value and not may_be_empty:
        raise misuse(ValueError(f"{what} is empty."))


def _checked_count(name: str, count: object) -> int:
    """*count* as a plain int: of an int's subclass, and of numpy's, as well."""
    if not isinstance(count, bool) and isinstance(count, SupportsIndex):
        with contextlib.suppress(TypeError):  # What has no dimension, or is a truth value, of numpy's.
            if 0 <= (number := operator.index(count)) <= MAX_COUNT:
                return number
    raise misuse(ValueError(f"{name} must be a whole number of at least 0, not {count!r}."))


def _say_no_agent() -> None:
    say_once(
        "no agent id",
        "A run has no agent id, and cannot be reported to a platform without: give agent_id to it or to "
        "configure(), or set XPANDER_AGENT_ID. Such runs are kept in the local history.",
    )


# How many forks there were between the first process and this one.
_generation = 0


def _begin_generation() -> None:
    global _generation  # noqa: PLW0603
    _generation += 1
    # It would else give the ids that its parent gives.
    _ids.seed(random.SystemRandom().getrandbits(256))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_generation)

NO_RUN = _NoRun()


def _no_run() -> Run:
    return NO_RUN


NO_CALL: ToolCall = ToolCall("", NO_RUN.capture)


@guarded("tell which run is current", instead=lambda: NO_RUN)
def current_run() -> Run:
    """
    The innermost open run of this asyncio task, else of this thread.

    Child tasks, threads and jobs of thread pools inherit it, see ``configure(propagate=...)``; for anything else there
    is ``run.bind``. Where there is none, a run that does nothing: everything can be called on it, and nothing comes of
    it.
    """
    run = innermost_run()
    return NO_RUN if run is None else run.make_known()
