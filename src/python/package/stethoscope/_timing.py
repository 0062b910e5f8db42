"""Functions whose calls a histogram or a summary times."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from time import perf_counter
from typing import Any

from stethoscope._native import Histogram, Summary, Timer


def timer(metric: Histogram | Summary) -> Timer:
    """Return a timer of the metric. Timers are unpickled by this function."""
    return metric.time()


def timed(function: Callable[..., Any], metric: Histogram | Summary) -> Callable[..., Any]:
    """Return the function, timed at each call, as a function of the same kind.

    It refers to the metric alone, so that it can be pickled with it. A static or
    class method remains one.
    """
    if isinstance(function, staticmethod | classmethod):
        return type(function)(timed(function.__func__, metric))
    if not callable(function):
        name = type(function).__name__
        hint = ": put the timer below it" if isinstance(function, property) else ""
        raise TypeError(f"a timer decorates a function, not a {name}{hint}")
    if inspect.isasyncgenfunction(function):
        return _timed_async_generator(function, metric)
    if inspect.iscoroutinefunction(function):
        return _timed_coroutine(function, metric)
    if inspect.isgeneratorfunction(function):
        return _timed_generator(function, metric)

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        start = perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            metric.observe(perf_counter() - start)

    return wrapper


def _timed_coroutine(
    function: Callable[..., Any], metric: Histogram | Summary
) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        start = perf_counter()
        try:
            return await function(*args, **kwargs)
        finally:
            metric.observe(perf_counter() - start)

    return wrapper


def _timed_generator(
    function: Callable[..., Any], metric: Histogram | Summary
) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        start = perf_counter()
        try:
            return (yield from function(*args, **kwargs))
        finally:
            metric.observe(perf_counter() - start)

    return wrapper


def _timed_async_generator(
    function: Callable[..., Any], metric: Histogram | Summary
) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        start = perf_counter()
        generator = function(*args, **kwargs)
        try:
            # As `yield from`, which asynchronous generators do not have.
            value = await anext(generator)
            while True:
                try:
                    sent = yield value
                except GeneratorExit:
                    raise
                except BaseException as error:
                    value = await generator.athrow(error)
                else:
                    value = await generator.asend(sent)
        except StopAsyncIteration:
            return
        finally:
            await generator.aclose()
            metric.observe(perf_counter() - start)

    return wrapper
