"""The run file: whole or not there, and believed only while its stack answers."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.embedded.run_file import (
    RUN_FILE,
    BusyError,
    RunFile,
    folder_lock,
    last_run_file,
    read_run_file,
    write_run_file,
)


def make_run(folder: Path, socket_path: Path | None = None, ready: bool = True) -> RunFile:
    return RunFile(
        kafka="127.0.0.1:20000",
        elasticsearch="http://127.0.0.1:20001",
        folder=folder,
        created=datetime.now(UTC),
        ready=ready,
        supervisor=socket_path or folder / "s",
        ports={"kafka": 20000},
    )


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("r")  # short: it holds a unix socket


@pytest.fixture
def listener(folder: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "s"))
        server.listen()
        yield server


def test_a_running_stack_is_found(folder: Path, listener: socket.socket) -> None:
    run = make_run(folder)
    write_run_file(run)
    assert read_run_file(folder) == run


def test_a_stack_that_is_not_ready_is_not_up(folder: Path, listener: socket.socket) -> None:
    write_run_file(make_run(folder, ready=False))
    assert read_run_file(folder) is None


def test_the_run_file_of_a_killed_stack_is_stale(folder: Path, listener: socket.socket) -> None:
    run = make_run(folder)
    write_run_file(run)
    listener.close()  # its socket file stays, as after a kill
    assert (folder / "s").exists()
    assert read_run_file(folder) is None
    assert last_run_file(folder) == run


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"kafka": "127.0.0.1:1"}', b"\xff"])
def test_no_or_another_run_file_is_no_stack(folder: Path, content: bytes | None) -> None:
    if content is not None:
        (folder / RUN_FILE).write_bytes(content)
    assert read_run_file(folder) is None


def test_a_reader_never_sees_half_a_file(folder: Path) -> None:
    write_run_file(make_run(folder))
    done = threading.Event()
    broken = []

    def read() -> None:
        while not done.is_set():
            if last_run_file(folder) is None:
                broken.append((folder / RUN_FILE).read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(200):
        write_run_file(make_run(folder))
    done.set()
    reader.join()
    assert broken == []
    assert [path.name for path in folder.iterdir()] == [RUN_FILE]


def test_only_one_process_at_a_time_holds_the_folder(folder: Path) -> None:
    code = f"""
from pathlib import Path
from services.embedded.run_file import folder_lock
with folder_lock(Path({str(folder)!r})):
    print("held", flush=True)
    input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BusyError, match=str(folder)), folder_lock(folder):
            pass
        holder.kill()
    with folder_lock(folder):
        pass
