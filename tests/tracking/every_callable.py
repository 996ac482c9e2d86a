"""
Callables of every kind, each decorated with ``decorate``.

``test_callables.py`` imports it once with each decorator of ours, and once with none: the first line of code is what it
replaces. All bodies do the same: ``act`` upon what they are given, or, if they are generators, give that, then whatever
they are sent, or thrown of the ``LookupError`` kind, until that is nothing.
"""

# Types, and what a linter would make simpler, are not what this is about.
# ruff: noqa: ANN001, ANN201, ANN202, ANN204, ANN206, PERF203

import abc
import asyncio
import contextlib
import functools
import inspect
import types
from collections.abc import AsyncGenerator, Generator

from xpander_track import track_task as decorate


def act(value):
    """An exception is raised, a function is called, anything else is given back."""
    if isinstance(value, BaseException):
        raise value
    return value() if callable(value) else value


def steps(value):
    """The body of the generators."""
    sent = yield act(value)
    while sent is not None:
        try:
            sent = yield sent
        except LookupError as error:
            sent = error
    return value


class Source:
    """What ``next``, a builtin function, calls."""

    def __init__(self, value):
        self.value = value

    def __next__(self):
        return act(self.value)


# --- functions ---


@decorate
def function(value: object, depth: int = 2, *, loud: bool = False) -> object:
    """The docstring."""
    return act(value)


@decorate
async def coroutine(value: object, depth: int = 2, *, loud: bool = False) -> object:
    """The docstring."""
    await asyncio.sleep(0)
    return act(value)


@decorate
def generator(value: object, depth: int = 2, *, loud: bool = False) -> Generator[object, object, object]:
    """The docstring."""
    return (yield from steps(value))


@decorate
async def async_generator(value: object, depth: int = 2, *, loud: bool = False) -> AsyncGenerator[object, object]:
    """The docstring."""
    sent = yield act(value)
    while sent is not None:
        try:
            await asyncio.sleep(0)
            sent = yield sent
        except LookupError as error:
            sent = error


@decorate
@types.coroutine
def old_coroutine(value: object, depth: int = 2, *, loud: bool = False) -> Generator[None, None, object]:
    """The docstring."""
    yield
    return act(value)


unnamed = decorate(lambda value, depth=2, *, loud=False: act(value))


def make():
    """Nested ones, that no name leads to."""

    @decorate
    def function(value: object, depth: int = 2, *, loud: bool = False) -> object:
        """The docstring."""
        return act(value)

    @decorate
    async def coroutine(value: object, depth: int = 2, *, loud: bool = False) -> object:
        """The docstring."""
        await asyncio.sleep(0)
        return act(value)

    @decorate
    def generator(value: object, depth: int = 2, *, loud: bool = False) -> Generator[object, object, object]:
        """The docstring."""
        return (yield from steps(value))

    @decorate
    async def async_generator(value: object, depth: int = 2, *, loud: bool = False) -> AsyncGenerator[object, object]:
        """The docstring."""
        sent = yield act(value)
        while sent is not None:
            try:
                await asyncio.sleep(0)
                sent = yield sent
            except LookupError as error:
                sent = error

    return function, coroutine, generator, async_generator


nested, nested_coroutine, nested_generator, nested_async_generator = make()


# --- what is no function ---


@decorate
@functools.lru_cache
def over_lru_cache(value: object, depth: int = 2, *, loud: bool = False) -> object:
    """The docstring."""
    return act(value)


@functools.lru_cache
@decorate
def under_lru_cache(value: object, depth: int = 2, *, loud: bool = False) -> object:
    """The docstring."""
    return act(value)


@functools.singledispatch
@decorate
def under_singledispatch(value: object, depth: int = 2, *, loud: bool = False) -> object:
    """The docstring."""
    return act(value)


@decorate
@contextlib.contextmanager
def over_contextmanager(value: object, depth: int = 2, *, loud: bool = False) -> Generator[object, None, None]:
    """The docstring."""
    yield act(value)


@contextlib.contextmanager
@decorate
def under_contextmanager(value: object, depth: int = 2, *, loud: bool = False) -> Generator[object, None, None]:
    """The docstring."""
    yield act(value)


@contextlib.asynccontextmanager
@decorate
async def under_asynccontextmanager(
    value: object, depth: int = 2, *, loud: bool = False
) -> AsyncGenerator[object, None]:
    """The docstring."""
    yield act(value)


builtin = decorate(next)
bound_builtin = decorate([].append)
unbound_builtin = decorate(str.upper)


def given(first, value: object, depth: int = 2, *, loud: bool = False) -> object:
    """The docstring."""
    return act(value)


async def given_coroutine(first, value: object, depth: int = 2, *, loud: bool = False) -> object:
    """The docstring."""
    await asyncio.sleep(0)
    return act(value)


def given_generator(first, value: object, depth: int = 2, *, loud: bool = False) -> Generator[object, object, object]:
    """The docstring."""
    return (yield from steps(value))


async def given_async_generator(
    first, value: object, depth: int = 2, *, loud: bool = False
) -> AsyncGenerator[object, object]:
    """The docstring."""
    sent = yield act(value)
    while sent is not None:
        try:
            await asyncio.sleep(0)
            sent = yield sent
        except LookupError as error:
            sent = error


partial = decorate(functools.partial(given, 1, loud=True))
partial_coroutine = decorate(functools.partial(given_coroutine, 1, loud=True))
partial_generator = decorate(functools.partial(given_generator, 1, loud=True))
partial_async_generator = decorate(functools.partial(given_async_generator, 1, loud=True))

partial_of_function = functools.partial(function, loud=True)
partial_of_coroutine = functools.partial(coroutine, loud=True)
partial_of_generator = functools.partial(generator, loud=True)
partial_of_async_generator = functools.partial(async_generator, loud=True)


# --- objects ---


class Called:
    """The class's docstring."""

    def __call__(self, value: object, depth: int = 2, *, loud: bool = False) -> object:
        """The docstring."""
        return act(value)


class CalledCoroutine:
    """The class's docstring."""

    async def __call__(self, value: object, depth: int = 2, *, loud: bool = False) -> object:
        """The docstring."""
        await asyncio.sleep(0)
        return act(value)


class CalledGenerator:
    """The class's docstring."""

    def __call__(self, value: object, depth: int = 2, *, loud: bool = False) -> Generator[object, object, object]:
        """The docstring."""
        return (yield from steps(value))


class CalledAsyncGenerator:
    """The class's docstring."""

    async def __call__(self, value: object, depth: int = 2, *, loud: bool = False) -> AsyncGenerator[object, object]:
        """The docstring."""
        sent = yield act(value)
        while sent is not None:
            try:
                await asyncio.sleep(0)
                sent = yield sent
            except LookupError as error:
                sent = error


class TrackedCalled:
    """The class's docstring."""

    @decorate
    def __call__(self, value: object, depth: int = 2, *, loud: bool = False) -> object:
        """The docstring."""
        return act(value)


class TrackedCalledCoroutine:
    """The class's docstring."""

    @decorate
    async def __call__(self, value: object, depth: int = 2, *, loud: bool = False) -> object:
        """The docstring."""
        await asyncio.sleep(0)
        return act(value)


class TrackedCalledGenerator:
    """The class's docstring."""

    @decorate
    def __call__(self, value: object, depth: int = 2, *, loud: bool = False) -> Generator[object, object, object]:
        """The docstring."""
        return (yield from steps(value))


class TrackedCalledAsyncGenerator:
    """The class's docstring."""

    @decorate
    async def __call__(self, value: object, depth: int = 2, *, loud: bool = False) -> AsyncGenerator[object, object]:
        """The docstring."""
        sent = yield act(value)
        while sent is not None:
            try:
                await asyncio.sleep(0)
                sent = yield sent
            except LookupError as error:
                sent = error


called = decorate(Called())
called_coroutine = decorate(CalledCoroutine())
called_generator = decorate(CalledGenerator())
called_async_generator = decorate(CalledAsyncGenerator())
called_inside = TrackedCalled()
called_coroutine_inside = TrackedCalledCoroutine()
called_generator_inside = TrackedCalledGenerator()
called_async_generator_inside = TrackedCalledAsyncGenerator()


# --- methods ---


class Agent(abc.ABC):
    """Methods of every kind, the decorator above and below their descriptor."""

    def __eq__(self, other):
        return type(other) is type(self)

    def __hash__(self):
        return 7

    @decorate
    def method(self, value: object, depth: int = 2, *, loud: bool = False) -> object:
        """The docstring."""
        return act(value)

    @decorate
    async def method_coroutine(self, value: object, depth: int = 2, *, loud: bool = False) -> object:
        """The docstring."""
        await asyncio.sleep(0)
        return act(value)

    @decorate
    def method_generator(
        self, value: object, depth: int = 2, *, loud: bool = False
    ) -> Generator[object, object, object]:
        """The docstring."""
        return (yield from steps(value))

    @decorate
    async def method_async_generator(
        self, value: object, depth: int = 2, *, loud: bool = False
    ) -> AsyncGenerator[object, object]:
        """The docstring."""
        sent = yield act(value)
        while sent is not None:
            try:
                await asyncio.sleep(0)
                sent = yield sent
            except LookupError as error:
                sent = error

    @decorate
    @classmethod
    def class_above(cls, value: object, depth: int = 2, *, loud: bool = False) -> object:
        """The docstring."""
        return act(value)

    @decorate
    @classmethod
    async def class_above_coroutine(cls, value: object, depth: int = 2, *, loud: bool = False) -> object:
        """The docstring."""
        await asyncio.sleep(0)
        return act(value)

    @decorate
    @classmethod
    def class_above_generator(
        cls, value: object, depth: int = 2, *, loud: bool = False
    ) -> Generator[object, object, object]:
        """The docstring."""
        return (yield from steps(value))

    @decorate
    @classmethod
    async def class_above_async_generator(
        cls, value: object, depth: int = 2, *, loud: bool = False
    ) -> AsyncGenerator[object, object]:
        """The docstring."""
        sent = yield act(value)
        while sent is not None:
            try:
                await asyncio.sleep(0)
                sent = yield sent
            except LookupError as error:
                sent = error

    @classmethod
    @decorate
    def class_below(cls, value: object, depth: int = 2, *, loud: bool = False) -> object:
        """The docstring."""
        return act(value)

    @classmethod
    @decorate
    async def class_below_coroutine(cls, value: object, depth: int = 2, *, loud: bool = False) -> object:
        """The docstring."""
        await asyncio.sleep(0)
        return act(value)

    @classmethod
    @decorate
    def class_below_generator(
        cls, value: object, depth: int = 2, *, loud: bool = False
    ) -> Generator[object, object, object]:
        """The docstring."""
        return (yield from steps(value))

    @classmethod
    @decorate
    async def class_below_async_generator(
        cls, value: object, depth: int = 2, *, loud: bool = False
    ) -> AsyncGenerator[object, object]:
        """The docstring."""
        sent = yield act(value)
        while sent is not None:
            try:
                await asyncio.sleep(0)
                sent = yield sent
            except LookupError as error:
                sent = error

    @decorate
    @staticmethod
    def static_above(value: object, depth: int = 2, *, loud: bool = False) -> object:
        """The docstring."""
        return act(value)

    @decorate
    @staticmethod
    async def static_above_coroutine(value: object, depth: int = 2, *, loud: bool = False) -> object:
        """The docstring."""
        await asyncio.sleep(0)
        return act(value)

    @decorate
    @staticmethod
    def static_above_generator(
        value: object, depth: int = 2, *, loud: bool = False
    ) -> Generator[object, object, object]:
        """The docstring."""
        return (yield from steps(value))

    @decorate
    @staticmethod
    async def static_above_async_generator(
        value: object, depth: int = 2, *, loud: bool = False
    ) -> AsyncGenerator[object, object]:
        """The docstring."""
        sent = yield act(value)
        while sent is not None:
            try:
                await asyncio.sleep(0)
                sent = yield sent
            except LookupError as error:
                sent = error

    @staticmethod
    @decorate
    def static_below(value: object, depth: int = 2, *, loud: bool = False) -> object:
        """The docstring."""
        return act(value)

    @staticmethod
    @decorate
    async def static_below_coroutine(value: object, depth: int = 2, *, loud: bool = False) -> object:
        """The docstring."""
        await asyncio.sleep(0)
        return act(value)

    @staticmethod
    @decorate
    def static_below_generator(
        value: object, depth: int = 2, *, loud: bool = False
    ) -> Generator[object, object, object]:
        """The docstring."""
        return (yield from steps(value))

    @staticmethod
    @decorate
    async def static_below_async_generator(
        value: object, depth: int = 2, *, loud: bool = False
    ) -> AsyncGenerator[object, object]:
        """The docstring."""
        sent = yield act(value)
        while sent is not None:
            try:
                await asyncio.sleep(0)
                sent = yield sent
            except LookupError as error:
                sent = error

    @decorate
    @abc.abstractmethod
    def abstract(self, value: object, depth: int = 2, *, loud: bool = False) -> object:
        """The docstring."""
        return act(value)

    @decorate
    @abc.abstractmethod
    async def abstract_coroutine(self, value: object, depth: int = 2, *, loud: bool = False) -> object:
        """The docstring."""
        await asyncio.sleep(0)
        return act(value)

    @decorate
    @abc.abstractmethod
    def abstract_generator(
        self, value: object, depth: int = 2, *, loud: bool = False
    ) -> Generator[object, object, object]:
        """The docstring."""
        return (yield from steps(value))

    @decorate
    @abc.abstractmethod
    async def abstract_async_generator(
        self, value: object, depth: int = 2, *, loud: bool = False
    ) -> AsyncGenerator[object, object]:
        """The docstring."""
        sent = yield act(value)
        while sent is not None:
            try:
                await asyncio.sleep(0)
                sent = yield sent
            except LookupError as error:
                sent = error

    @property
    @decorate
    def under_property(self):
        """The docstring."""
        return self

    under_partialmethod = functools.partialmethod(method, loud=True)


class Inherited(Agent):
    """Inherits all of them, and reaches the abstract ones by ``super()``."""

    @decorate
    def abstract(self, value: object, depth: int = 2, *, loud: bool = False) -> object:
        """The docstring."""
        return super().abstract(value, depth, loud=loud)

    @decorate
    async def abstract_coroutine(self, value: object, depth: int = 2, *, loud: bool = False) -> object:
        """The docstring."""
        return await super().abstract_coroutine(value, depth, loud=loud)

    @decorate
    def abstract_generator(
        self, value: object, depth: int = 2, *, loud: bool = False
    ) -> Generator[object, object, object]:
        """The docstring."""
        return (yield from super().abstract_generator(value, depth, loud=loud))

    @decorate
    async def abstract_async_generator(
        self, value: object, depth: int = 2, *, loud: bool = False
    ) -> AsyncGenerator[object, object]:
        """The docstring."""
        outer = super().abstract_async_generator(value, depth, loud=loud)
        sent = yield await outer.__anext__()
        while sent is not None:
            try:
                sent = yield await outer.asend(sent)
            except LookupError as error:
                sent = error
        await outer.aclose()


class Concrete(Agent):
    """Inherits all that is not abstract."""

    abstract = abstract_coroutine = abstract_generator = abstract_async_generator = None

    def parent(self):
        """Where ``super()`` leads from an instance."""
        return super()

    @classmethod
    def class_parent(cls):
        """Where ``super()`` leads from a class."""
        return super()


agent = Inherited()
child = Concrete()

method_partial = decorate(functools.partial(agent.method, loud=True))
class_method_partial = decorate(functools.partial(Agent.class_below_coroutine, loud=True))
static_method_partial = decorate(functools.partial(Agent.static_above_generator, loud=True))
called_partial = decorate(functools.partial(called_async_generator, loud=True))
builtin_partial = decorate(functools.partial(next))


# --- and what becomes of a call ---


def drive(made):
    """What a call gives, brought to its end: the result, and the items of a generator."""
    if isinstance(made, AsyncGenerator):

        async def items():
            return [item async for item in made]

        return asyncio.run(items())
    if isinstance(made, Generator) and not made.gi_code.co_flags & inspect.CO_ITERABLE_COROUTINE:
        items = []

        def delegate():
            items.append((yield from made))

        return [*delegate(), *items]
    if inspect.isawaitable(made):

        async def result():
            return await made

        return asyncio.run(result())
    return made


def drive_call(function, args):
    """In another process."""
    return drive(function(*args))
