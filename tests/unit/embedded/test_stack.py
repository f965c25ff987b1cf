"""The stack's own decisions, without servers."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from services.embedded.run_file import BusyError, folder_lock
from services.embedded.settings import EmbeddedSettings
from services.embedded.stack import Stack, down, up


@pytest.fixture
def console() -> Console:
    return Console(file=StringIO())


def test_down_of_what_never_was_up_leaves_no_trace(tmp_path: Path, console: Console) -> None:
    folder = tmp_path / "never"
    assert not down(EmbeddedSettings(run_dir=folder), console, wipe=True)
    assert not folder.exists()


def test_wipe_deletes_what_is_ours_only(tmp_path: Path, console: Console) -> None:
    for name in ("kafka/data", "elasticsearch/data", "services/cleaner", "logs", "seeds"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").touch()
    (tmp_path / "run.json").touch()
    down(EmbeddedSettings(run_dir=tmp_path), console, wipe=True)
    assert {path.name for path in tmp_path.iterdir()} == {"lock", "seeds"}


@pytest.mark.parametrize("verb", [up, down])
def test_two_at_once_are_refused(tmp_path: Path, console: Console, verb: object) -> None:
    assert callable(verb)
    with folder_lock(tmp_path), pytest.raises(BusyError):
        verb(EmbeddedSettings(run_dir=tmp_path), console)


def test_a_stack_deep_down_gets_a_short_socket_path(tmp_path: Path, console: Console) -> None:
    folder = tmp_path.joinpath(*["a long name of a folder"] * 5)
    socket_path = Stack(EmbeddedSettings(run_dir=folder), console)._new_socket()
    assert len(str(socket_path)) < 90
    assert socket_path.parent.stat().st_mode & 0o777 == 0o700
    socket_path.parent.rmdir()
