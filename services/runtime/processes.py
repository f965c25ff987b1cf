"""Rule 6 of services/runtime/stage.py: the child processes of a stage, their limits, and what they are forked from.

On Linux they are forked from a fork server, a process that has loaded the step and does nothing else: unlike the
parent it has no Kafka sockets and no threads. So a model is loaded once, its memory is shared by all children, and
one that takes the place of another starts in milliseconds. The fork server ends with its parent, each child with
the fork server (`end_with_parent`). Elsewhere each child is a new process that loads the step itself.
"""

from __future__ import annotations

import asyncio
import base64
import multiprocessing
import os
import pickle
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import TimeoutError as PoolTimeout
from contextlib import suppress
from dataclasses import replace
from multiprocessing import forkserver

import structlog
from pebble import ProcessExpired, ProcessPool

from services.runtime.settings import StageSettings
from services.runtime.step import EXIT_MEMORY, PRELOAD, Failure, Stage, Task, Verdict, run_chunk, start_child

log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0
"""Between two looks whether the child processes that load a step are still there."""

MAX_TEMPORARY_FOLDER_BYTES = 74
"""The fork server listens on a socket 33 bytes below the temporary folder, and Linux takes 107 for its path."""

METHOD = (
    "forkserver"
    if sys.platform == "linux" and len(os.fsencode(tempfile.gettempdir())) <= MAX_TEMPORARY_FOLDER_BYTES
    else "spawn"
)
"""How a child process starts. Apple's libraries do not bear a fork."""


def start_fork_server(stage: Stage, settings: StageSettings) -> None:
    """Have the fork server of this process load this step, unless it runs already; returns before it has.

    It keeps what it is given in the environment, so that one that was killed is started again with the same.
    """
    pickled = base64.b64encode(pickle.dumps((stage, settings))).decode()
    os.environ[PRELOAD] = f"{os.getpid()} {pickled}"  # noqa: TID251 - not a setting
    forkserver.set_forkserver_preload(["services.runtime.preload"])
    forkserver.ensure_running()


class ChildProcesses:
    """Rule 6: the processes that run a stage's step, each with the step loaded once."""

    def __init__(self, stage: Stage, settings: StageSettings, progress: Callable[[], None] = lambda: None) -> None:
        """`progress` is told of each try that ended a process: that takes long and is no standstill."""
        self.stage = stage
        self.settings = settings
        self.progress = progress
        # Its memory is the parent's, and takes a Kafka client to import.
        self.work = replace(stage, remembering=None)
        self.pool = ProcessPool(
            max_workers=settings.processes,
            max_tasks=settings.child_chunks,
            initializer=start_child,
            initargs=(self.work, settings),
            context=multiprocessing.get_context(METHOD),
        )

    def start(self) -> None:
        """Return when all have loaded the step (a model takes seconds); raises what a step raises at that."""
        if METHOD == "forkserver":
            start_fork_server(self.work, self.settings)
        for ready in [self.pool.schedule(run_chunk, args=[[]]) for _ in range(self.settings.processes)]:
            while not ready.done():
                # Where the children end before the pool has taken a task in, that one never has a result.
                with suppress(PoolTimeout):
                    ready.result(POLL_SECONDS)
                if not self.pool.active and not ready.done():
                    raise RuntimeError("its child processes ended while they loaded it")
            ready.result()

    def stop(self) -> None:
        """End them, with whatever they have in hand."""
        self.pool.stop()  # type: ignore[no-untyped-call]
        self.pool.join()

    async def run(self, tasks: list[Task], again: bool = False) -> list[Verdict]:
        """Rule 6: a verdict for each task. A chunk that hangs or kills its child is tried record by record.

        A record alone for which there was no memory is tried once more (`again`): its process was not empty.
        """
        limit = self.settings.document_limit_seconds
        try:
            # The limit is one document's even for a chunk: 16 normal ones take a second together.
            work = self.pool.schedule(run_chunk, args=[tasks], timeout=limit)
            return await asyncio.wrap_future(work)
        except PoolTimeout:
            failure = Failure("timeout", f"it took longer than {limit:g} s and its process was ended")
        except ProcessExpired as expired:
            if expired.exitcode == EXIT_MEMORY:
                failure = Failure(
                    "memory", f"no memory is left for it (child_memory_mb={self.settings.child_memory_mb})"
                )
            else:
                failure = Failure("crashed", f"its process died with exit status {expired.exitcode}")
        self.progress()
        if len(tasks) == 1 and (again or failure.reason != "memory"):
            log.warning("record ended its process", stage=self.stage.name, reason=failure.reason)
            return [failure]
        return [verdict for task in tasks for verdict in await self.run([task], again=True)]
