"""The stack's own decisions, without servers."""

from collections.abc import Iterable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from services.embedded import stack as stack_module
from services.embedded.home import Home
from services.embedded.run_file import BusyError, folder_lock
from services.embedded.servers import KafkaServer
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


@pytest.mark.parametrize("services", [True, False])
def test_what_loads_for_long_starts_with_the_servers(
    tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch, services: bool
) -> None:
    done: list[str] = []

    class Programs:
        """Stands for the supervisor."""

        socket_path = tmp_path / "socket"

        def __init__(self, *_: object) -> None:
            """Nothing is started."""

        def start(self, *_: object) -> None:
            done.append("supervisor")

        def start_programs(self, names: Iterable[str]) -> None:
            done.extend(names)

    monkeypatch.setattr(stack_module, "Supervisor", Programs)
    monkeypatch.setattr(stack_module, "prepare_home", lambda *_: Home(tmp_path))
    monkeypatch.setattr(KafkaServer, "prepare", lambda _: done.append("format"))
    monkeypatch.setattr(Stack, "_wait_ready", lambda _, server: done.append(f"{server.name} ready"))
    monkeypatch.setattr(Stack, "_start_set_up", lambda *_: done.append("set-up"))
    Stack(EmbeddedSettings(run_dir=tmp_path), console).start_servers(services)
    early = ["set-up", "tagger", "cleaner"] if services else []
    assert done[:-2] == ["supervisor", "elasticsearch", "format", "kafka", *early]
    assert sorted(done[-2:]) == ["elasticsearch ready", "kafka ready"]
