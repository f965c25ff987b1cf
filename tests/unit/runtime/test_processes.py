"""What the processes of a stage import and load: each test in a process of its own, with its own fork server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from services.runtime.processes import METHOD

ROOT = Path(__file__).parents[3]

STEP_LIBRARIES = ("trafilatura", "lxml", "ftfy", "py3langid", "spacy", "thinc", "numpy", "services.cleaner.core")

KAFKA_LIBRARIES = ("faust", "aiokafka", "mode", "aiohttp")

STAGES = ("cleaner", "deduper", "tagger")


def run(code: str, *folders: Path, **environment: str) -> str:
    """What the code prints in a new process."""
    path = ":".join(map(str, (ROOT, *folders)))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": path, "PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("stage", STAGES)
def test_the_parent_process_imports_no_library_of_its_step(stage: str) -> None:
    code = f"import sys, services.{stage}.app, services.runtime.stage\n"
    assert run(f"{code}print(*set({STEP_LIBRARIES}) & set(sys.modules))").split() == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_child_process_imports_no_faust(stage: str) -> None:
    code = (
        f"import sys, services.runtime.step\nfrom services.{stage}.app import load_step\n"
        f"print(*set({KAFKA_LIBRARIES}) & set(sys.modules))"
    )
    assert run(code).split() == []


SOME_STAGE = """
import os
import signal
from dataclasses import replace
from pathlib import Path

from schemas.topics import ARTICLES_CLEAN, ARTICLES_RAW
from services.runtime.processes import ChildProcesses
from services.runtime.settings import StageSettings
from services.runtime.step import Stage

ARTICLE = b'{"publisher": "harbour-post.example", "body": "text"}'
LOADS = Path(__file__).with_name("loads")
SETTINGS = StageSettings(kafka_bootstrap_servers="-", processes=2)


def load_step(settings):
    with LOADS.open("a") as file:
        print(os.getpid(), file=file)
    return lambda records: os.kill(os.getpid(), signal.SIGKILL)


def load_nothing(settings):
    raise ValueError("no model there")


STAGE = Stage("cleaner", ARTICLES_RAW, ARTICLES_CLEAN, load_step)


def pids():
    return LOADS.read_text().split()


def start(settings=SETTINGS, stage=STAGE):
    children = ChildProcesses(stage, settings)
    children.start()
    return children
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the module `some_stage`, whose step says in which process it was loaded."""
    (tmp_path / "some_stage.py").write_text(SOME_STAGE, encoding="utf-8")
    return tmp_path


forked = pytest.mark.skipif(METHOD != "forkserver", reason="each child process loads its step here")


@forked
def test_child_processes_share_one_loaded_step(folder: Path) -> None:
    code = """
import asyncio, some_stage
children = some_stage.start()
reasons = [asyncio.run(children.run([(value, 0.0)]))[0].reason for value in (some_stage.ARTICLE, b"no record")]
print(*reasons, len(some_stage.pids()))
children.stop()
"""
    said = run(code, folder).splitlines()[-1].split()  # above stands the log
    assert said == ["crashed", "invalid_json", "1"], "loaded by the fork server, for the child that came after too"


@forked
def test_a_fork_server_that_is_killed_ends_its_children_and_the_work(folder: Path) -> None:
    """Then the stage leaves, with nothing committed, and its restart begins with the same records."""
    code = """
import asyncio, psutil, some_stage, time
from multiprocessing import forkserver
children = some_stage.start()
server = psutil.Process(forkserver._forkserver._forkserver_pid)
family = [server, *server.children()]
server.kill()
gone, left = psutil.wait_procs(family, timeout=30)
print(len(gone), len(left))
try:
    for _ in range(100):
        asyncio.run(children.run([(b"no record", 0.0)]))
        time.sleep(0.1)
except Exception as error:
    print(type(error).__name__)
"""
    gone, left, error = run(code, folder).split()
    assert (gone, left) == ("3", "0")
    assert error in {"RuntimeError", "BrokenProcessPool"}, "by whether the pool has noticed already"


@forked
def test_a_child_whose_parent_has_ended_ends_too(folder: Path) -> None:
    """Before it could ask to be told. Break: leave `getppid` out of `end_with_parent`."""
    code = """
import os, time
from services.runtime.child import end_with_parent
parent = os.getpid()
if os.fork() == 0:
    while os.getppid() == parent:
        time.sleep(0.01)
    end_with_parent(parent)
    print("still there")
"""
    assert run(code, folder) == "", "its output is at its end when the child is"


@forked
def test_a_step_of_other_settings_is_not_taken_from_the_fork_server(folder: Path) -> None:
    code = """
import some_stage
some_stage.start().stop()
some_stage.start(some_stage.SETTINGS.model_copy(update={"batch_records": 3})).stop()
print(len(some_stage.pids()))
"""
    assert int(run(code, folder)) >= 1 + 2


def test_a_step_that_cannot_be_loaded_is_an_error_at_the_start(folder: Path) -> None:
    code = """
import some_stage
from dataclasses import replace
try:
    some_stage.start(stage=replace(some_stage.STAGE, load_step=some_stage.load_nothing))
except Exception as error:
    print(type(error).__name__)
"""
    assert run(code, folder).split() != []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the fork server")
def test_temporary_folder_with_a_long_name_does_without_the_fork_server(tmp_path: Path) -> None:
    """The path of a socket in it would be longer than the system takes."""
    code = "from services.runtime.processes import METHOD; print(METHOD)"
    long = tmp_path / ("x" * 80)
    long.mkdir()
    assert run(code, TMPDIR=str(long)).split() == ["spawn"]
    assert run(code, TMPDIR="/tmp").split() == ["forkserver"]
