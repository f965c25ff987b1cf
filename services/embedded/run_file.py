"""The run file: where the servers and services of this checkout's stack answer. Other commands find them by it.

Needs none of the stack's own libraries, so that a command without the extra `embedded` can look too.
"""

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from services.embedded.settings import EmbeddedSettings

RUN_FILE = "run.json"
LOCK_FILE = "lock"

ANSWER_S = 2.0
"""Seconds for the supervisor to take a connection over its local socket."""


class BusyError(RuntimeError):
    """Another `up` or `down` of the same folder is at work."""


class ServiceAddress(BaseModel):
    """A service and the base address of its health endpoint."""

    model_config = ConfigDict(frozen=True)

    name: str
    health: str


class RunFile(BaseModel):
    """What a stack that is up offers, and what its next start takes over."""

    model_config = ConfigDict(frozen=True)

    kafka: str
    """Bootstrap servers."""
    elasticsearch: str
    """URL."""
    folder: Path
    created: AwareDatetime
    services: tuple[ServiceAddress, ...] = ()

    ready: bool = False
    """False while the servers start, and after they were stopped."""
    supervisor: Path
    """The unix socket of the supervisor; the stack is up as long as it answers."""
    ports: dict[str, int]
    """What listens → its port; the next start takes the same ones if they are still free."""


def read_run_file(folder: Path | None = None) -> RunFile | None:
    """The stack of this folder (default: this checkout's) if it is up; None if there is none or it ended."""
    run = last_run_file(folder or EmbeddedSettings().run_folder)
    return run if run and run.ready and answers(run.supervisor) else None


def last_run_file(folder: Path) -> RunFile | None:
    """The run file as it was last written, whether or not its stack still runs; None if there is none."""
    try:
        return RunFile.model_validate_json((folder / RUN_FILE).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValidationError):  # or one of an older version
        return None


def write_run_file(run: RunFile) -> None:
    """Put the file in place whole: a reader sees the old one or the new one."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=run.folder, prefix=".run-", delete=False) as part:
        try:
            part.write(run.model_dump_json(indent=2) + "\n")
            part.flush()
            os.fsync(part.fileno())
            Path(part.name).replace(run.folder / RUN_FILE)
        except BaseException:
            Path(part.name).unlink()
            raise


def answers(path: Path) -> bool:
    """True if a process listens on this unix socket; a socket that a killed one left behind refuses."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(ANSWER_S)
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold the folder for one `up` or `down`; BusyError if another process does. A killed holder frees it."""
    with (folder / LOCK_FILE).open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"another `newsflow up` or `newsflow down` is at work in {folder}") from None
        yield
