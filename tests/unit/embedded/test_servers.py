"""How a server process is started, seen from a small stand-in; and what the real ones are told."""

import sys
from pathlib import Path

import psutil
import pytest

from services.embedded.home import Home
from services.embedded.servers import ElasticsearchServer, KafkaServer, Server, ServerError
from services.embedded.settings import EmbeddedSettings


class ScriptServer(Server):
    """A Python script; ready once it has made the file `ready`."""

    name = "script"

    def __init__(self, folder: Path, code: str, **settings: float) -> None:
        super().__init__(folder, 0, Home(folder), EmbeddedSettings.model_validate(settings))
        self.code = code

    @property
    def address(self) -> str:
        return ""

    def prepare(self) -> None:
        pass

    def command(self) -> list[str]:
        return [sys.executable, "-c", self.code]

    def is_ready(self) -> bool:
        return (self.folder / "ready").exists()


READY = "import pathlib, time; pathlib.Path('ready').touch(); "


def test_a_server_that_ends_while_it_starts_is_an_error_with_its_log(tmp_path: Path) -> None:
    server = ScriptServer(tmp_path, "raise SystemExit('port 1 is taken')")
    with pytest.raises(ServerError, match=r"(?s)script ended while it started.*port 1 is taken"):
        server.start()
    assert server.pid is None


def test_a_server_that_does_not_get_ready_is_an_error_and_killed(tmp_path: Path) -> None:
    server = ScriptServer(tmp_path, "import time; time.sleep(60)", start_timeout_s=0.5)
    with pytest.raises(ServerError, match=r"did not answer within 0\.5 s"):
        server.start()
    assert server.pid is None


def test_a_server_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + READY + "time.sleep(60)"
    server = ScriptServer(tmp_path, code, stop_timeout_s=0.5)
    server.start()
    pid = server.pid
    assert pid
    with pytest.raises(ServerError, match="running already"):
        server.start()
    server.stop()
    server.stop()
    assert not psutil.pid_exists(pid)


def test_both_servers_listen_on_loopback_only(tmp_path: Path) -> None:
    kafka = KafkaServer(tmp_path, 20000, 20001, Home(tmp_path)).properties()
    listeners = f"{kafka['listeners']},{kafka['advertised.listeners']}".split(",")
    assert {listener.split("://")[1].split(":")[0] for listener in listeners} == {"127.0.0.1"}
    elasticsearch = ElasticsearchServer(tmp_path, 20002, 20003, Home(tmp_path)).configuration()
    assert elasticsearch["network.host"] == "127.0.0.1"


def test_heap_sizes_are_settings(tmp_path: Path) -> None:
    settings = EmbeddedSettings.model_validate({"kafka_heap_mb": 300, "elasticsearch_heap_mb": 700})
    assert "-Xmx300m" in KafkaServer(tmp_path, 1, 2, Home(tmp_path), settings).command()
    assert "-Xmx700m" in ElasticsearchServer(tmp_path, 1, 2, Home(tmp_path), settings).command()
