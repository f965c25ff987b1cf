"""Child processes for hostile input: a task has a limit of time, a process one of memory, and may be killed."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

from pebble import ProcessExpired, ProcessPool

from services.runtime.child import end_with_parent, limit_memory, parent_pid

Result = TypeVar("Result")


class ChildFailed(Exception):
    """A task that ended its process, or had no memory; `reason` is `timeout`, `memory` or `crashed`."""

    def __init__(self, reason: str, error: str) -> None:
        super().__init__(error)
        self.reason = reason
        self.error = error


class Children:
    """A pool of processes for functions of modules. One that hangs, dies or takes too much harms no other task."""

    def __init__(
        self,
        processes: int,
        memory_mb: int,
        initializer: Callable[..., None] | None = None,
        arguments: tuple[Any, ...] = (),
    ) -> None:
        """`memory_mb` is what a process may add (MiB) after `initializer(*arguments)`."""
        self._memory_mb = memory_mb
        self._pool = ProcessPool(
            max_workers=processes,
            max_tasks=TASKS,
            initializer=_start,
            initargs=(memory_mb, initializer, arguments),
            # A forked child would share the parent's Kafka sockets and threads.
            context=multiprocessing.get_context("spawn"),
        )

    def submit(self, seconds: float, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Have a child work; after `seconds` of work it is killed."""
        future: Future[Result] = self._pool.schedule(function, args=list(arguments), timeout=seconds)
        return future

    def result(self, future: Future[Result], seconds: float) -> Result:
        """What a task became. Raises `ChildFailed`, or what the task raised; `seconds` is named in the error."""
        try:
            return future.result()
        except FutureTimeout:
            raise ChildFailed("timeout", f"it took longer than {seconds:g} s and its process was ended") from None
        except ProcessExpired as expired:
            raise ChildFailed("crashed", f"its process died with exit status {expired.exitcode}") from None
        except MemoryError:
            raise ChildFailed("memory", f"it needs more memory than the {self._memory_mb} MiB allowed") from None

    def stop(self) -> None:
        """End all processes, with whatever they have in hand."""
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()


TASKS = 2_000
"""After so many tasks a process is replaced: what a parser leaks stays bounded."""


def _start(memory_mb: int, initializer: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    end_with_parent(parent_pid())
    if initializer is not None:
        initializer(*arguments)
    limit_memory(memory_mb)
