"""
Hands the open runs of a place on to what is made there: child tasks, threads, and jobs of thread pools.

The hooks are set when a run opens, each around what it finds: a task factory on the loop that runs, and wrappers of
``Thread.start``, ``ThreadPoolExecutor.submit``, the methods of ``multiprocessing.pool.ThreadPool`` and anyio's worker
threads. Where no run is open they do nothing but look; ``configure(propagate=False)`` takes them away again.
"""

# Callables of any type are what this file is about:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import sys
import threading
from typing import TYPE_CHECKING, Any

import wrapt

from . import settings
from .boundary import caught
from .current import births, go_back, inherit_task, inherit_thread, open_runs, visit

if TYPE_CHECKING:
    from collections.abc import Callable

    from .current import Inherited

    Args = tuple[Any, ...]
    Kwargs = dict[str, Any]

_STEP = "hand a run on to a task or thread"


def ensure() -> None:
    """The hooks are there from now on, on the running loop too; or, if the user has decided so, gone."""
    if settings.current().propagate:
        if not _wrapped:
            _wrap_threads()
        loop = asyncio._get_running_loop()  # noqa: SLF001  # the documented way that does not raise
        if loop is not None:
            _ensure_factory(loop)
    elif _wrapped:
        remove()


def remove() -> None:
    """Take the hooks away: those that nobody has wrapped since, and the running loop's."""
    while _wrapped:
        owner, name, wrapper = _wrapped.pop()
        attributes: Any = vars(owner)
        if attributes.get(name) is wrapper:
            setattr(owner, name, wrapper.__wrapped__)
    loop = asyncio._get_running_loop()  # noqa: SLF001  # as above
    birthplace = None if loop is None else _own(loop.get_task_factory())
    if loop is not None and birthplace is not None:
        loop.set_task_factory(birthplace.former)


def _runs() -> Inherited:
    """What is handed on from here; a hook that could not be taken away hands on nothing."""
    return open_runs() if settings.current().propagate else ()


# --- child tasks ---


class _Birthplace:
    """
    Makes tasks with what made them before; each inherits the open runs of where it is made.

    Args:
        former: The task factory, or the constructor inside of an eager one, that was there before.
        make: What makes the tasks; None is what asyncio itself does.
    """

    def __init__(self, former: Any, make: Callable[..., Any] | None) -> None:
        self.former = former
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        runs: Inherited = ()
        born: list[Inherited] | None = None
        try:
            runs = _runs()
            born = births(runs)
        except Exception as error:  # noqa: BLE001  # whatever it is, the user gets the task
            caught(_STEP, error)
        try:
            if self._make is None:
                task: Any = asyncio.Task(args[1], loop=args[0], **kwargs)
            else:
                task = self._make(*args, **kwargs)
        finally:
            if born:
                born.pop()
        try:
            inherit_task(task, runs)
        except Exception as error:  # noqa: BLE001  # as above
            caught(_STEP, error)
        return task


def _ensure_factory(loop: asyncio.AbstractEventLoop) -> None:
    former: Any = loop.get_task_factory()
    if _own(former) is not None:
        return
    constructor = _constructor_of_eager(former)
    if constructor is not None:
        # Told to be eager by its code, by anyio for one: so it must be made by asyncio's own function again.
        eager: Any = asyncio
        loop.set_task_factory(eager.create_eager_task_factory(_Birthplace(former, constructor)))
    else:
        loop.set_task_factory(_Birthplace(former, former))


def _own(factory: Any) -> _Birthplace | None:
    """Our factory, if *factory* is it, or is the eager one around it."""
    inner = _constructor_of_eager(factory) or factory
    return inner if isinstance(inner, _Birthplace) else None


def _constructor_of_eager(factory: Any) -> Any:
    """What an eager task factory makes its tasks with; None if *factory* is no such factory."""
    known = getattr(asyncio, "eager_task_factory", None)  # Python 3.12
    if known is None or getattr(factory, "__code__", None) is not known.__code__:
        return None
    return factory.__closure__[0].cell_contents


def _set_task_factory(wrapped: Callable[..., Any], loop: Any, args: Args, kwargs: Kwargs) -> Any:
    """``loop.set_task_factory``: one that is set inside of a run hands it on too, at once."""
    returned = wrapped(*args, **kwargs)
    try:
        if _runs():
            _ensure_factory(loop)
    except Exception as error:  # noqa: BLE001  # whatever it is, theirs is set
        caught(_STEP, error)
    return returned


# --- threads ---


class _Job:
    """A function that a pool's thread will call, with the runs of where it was handed in."""

    __slots__ = ("_function", "_runs")

    def __init__(self, function: Callable[..., Any], runs: Inherited) -> None:
        self._function = function
        self._runs = runs

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        before: Any = None
        try:
            before = visit(self._runs)
        except Exception as error:  # noqa: BLE001  # whatever it is, the job is done
            caught(_STEP, error)
        try:
            return self._function(*args, **kwargs)
        finally:
            try:
                if before is not None:
                    go_back(before)
            except Exception as error:  # noqa: BLE001  # as above
                caught(_STEP, error)


class _Pools(threading.local):
    """Above 0 while this thread makes workers of a pool: they are to serve anybody, and inherit nothing."""

    depth = 0


_pools = _Pools()


def _start(wrapped: Callable[..., Any], thread: Any, args: Args, kwargs: Kwargs) -> Any:
    """``Thread.start``."""
    try:
        # anyio keeps its workers: what they do comes through run_sync_in_worker_thread.
        if not _pools.depth and not type(thread).__module__.startswith("anyio."):
            runs = _runs()
            if runs:
                inherit_thread(thread, runs)
    except Exception as error:  # noqa: BLE001  # whatever it is, the thread is started
        caught(_STEP, error)
    return wrapped(*args, **kwargs)


def _submit(wrapped: Callable[..., Any], pool: object, args: Args, kwargs: Kwargs) -> Any:
    """Methods of pools, whose first argument is a function, and which may start worker threads."""
    try:
        # Its threads have an interpreter each (Python 3.14): what they do is handed over as a pickle.
        if not any(kind.__name__ == "InterpreterPoolExecutor" for kind in type(pool).__mro__):
            args = _as_job(args)
    except Exception as error:  # noqa: BLE001  # whatever it is, the job is handed in
        caught(_STEP, error)
    _pools.depth += 1
    try:
        return wrapped(*args, **kwargs)
    finally:
        _pools.depth -= 1


def _make_pool(wrapped: Callable[..., Any], _: object, args: Args, kwargs: Kwargs) -> Any:
    """What starts worker threads, or processes by the help of threads."""
    _pools.depth += 1
    try:
        return wrapped(*args, **kwargs)
    finally:
        _pools.depth -= 1


def _as_job(args: Args) -> Args:
    runs = _runs() if args else ()
    return (_Job(args[0], runs), *args[1:]) if runs else args


def _run_in_worker(wrapped: Callable[..., Any], _: object, args: Args, kwargs: Kwargs) -> Any:
    """``AsyncIOBackend.run_sync_in_worker_thread`` of anyio, a coroutine function; it starts its threads later."""
    try:
        args = _as_job(args)
    except Exception as error:  # noqa: BLE001  # whatever it is, the job is handed in
        caught(_STEP, error)
    return wrapped(*args, **kwargs)


# --- loops that a thread runs ---


def _run(wrapped: Callable[..., Any], runner: Any, args: Args, kwargs: Kwargs) -> Any:
    """``asyncio.Runner.run``, which is what ``asyncio.run`` calls: its task inherits from the thread."""
    try:
        if _runs():
            _ensure_factory(runner.get_loop())
    except Exception as error:  # noqa: BLE001  # whatever it is, it is run
        caught(_STEP, error)
    return wrapped(*args, **kwargs)


def _set_event_loop(wrapped: Callable[..., Any], _: object, args: Args, kwargs: Kwargs) -> Any:
    """``asyncio.set_event_loop``, which ``asyncio.run`` calls before Python 3.11."""
    try:
        if args and args[0] is not None and _runs():
            _ensure_factory(args[0])
    except Exception as error:  # noqa: BLE001  # as above
        caught(_STEP, error)
    return wrapped(*args, **kwargs)


# --- the hooks ---

# Owner, attribute, wrapper.
_wrapped: list[tuple[Any, str, Any]] = []


def _wrap_threads() -> None:
    _wrap(threading.Thread, "start", _start)
    _wrap(asyncio.BaseEventLoop, "set_task_factory", _set_task_factory)
    if sys.version_info >= (3, 11):
        _wrap(asyncio.Runner, "run", _run)
    else:
        _wrap(asyncio.events, "set_event_loop", _set_event_loop)
    # At once, if they are imported; else when they are.
    wrapt.register_post_import_hook(_wrap_threads_executor, "concurrent.futures.thread")
    wrapt.register_post_import_hook(_wrap_processes_executor, "concurrent.futures.process")
    wrapt.register_post_import_hook(_wrap_pool, "multiprocessing.pool")
    wrapt.register_post_import_hook(_wrap_anyio, "anyio._backends._asyncio")


def _wrap_threads_executor(module: Any) -> None:
    _wrap(module.ThreadPoolExecutor, "submit", _submit)


def _wrap_processes_executor(module: Any) -> None:
    _wrap(module.ProcessPoolExecutor, "submit", _make_pool)


def _wrap_pool(module: Any) -> None:
    _wrap(module.ThreadPool, "__init__", _make_pool)
    for name in ("apply_async", "map", "map_async", "starmap", "starmap_async", "imap", "imap_unordered"):
        _wrap(module.ThreadPool, name, _submit)


def _wrap_anyio(module: Any) -> None:
    _wrap(module.AsyncIOBackend, "run_sync_in_worker_thread", _run_in_worker)


def _wrap(owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    if settings.current().propagate and not any(entry[:2] == (owner, name) for entry in _wrapped):
        wrapt.wrap_function_wrapper(owner, name, wrapper)
        attributes: Any = vars(owner)
        _wrapped.append((owner, name, attributes[name]))
