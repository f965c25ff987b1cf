from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from services.runtime.health import Health, serve_health
from tests.unit.cli.conftest import Newsflow


@pytest.fixture(autouse=True)
def _kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "broker.example:9092")
    # A proxy of the host reaches containers through Docker's settings.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Health:
    """A service that answers as in a container."""
    health = Health("cleaner")
    monkeypatch.setenv("HEALTH_PORT", str(serve_health(health, "127.0.0.1", 0)))
    return health


@pytest.mark.parametrize("host", [None, "127.0.0.1", "0.0.0.0"])
def test_a_service_that_is_well_is_status_0_and_any_other_1(
    newsflow: Newsflow, monkeypatch: pytest.MonkeyPatch, service: Health, host: str | None
) -> None:
    if host:
        monkeypatch.setenv("HEALTH_HOST", host)
    said = newsflow("health")
    assert (said.status, said.out) == (1, "cleaner: starting\n")
    service.green("start")
    said = newsflow("health")
    assert (said.status, said.out) == (0, "cleaner: well\n")
    service.red("kafka", "[red] Kafka does not answer")
    said = newsflow("health")
    assert (said.status, said.out) == (1, "cleaner: [red] Kafka does not answer\n")


def test_nobody_there_is_status_1(newsflow: Newsflow, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("HEALTH_PORT", str(port))
    said = newsflow("health")
    assert (said.status, said.out) == (1, "")
    assert f"No answer at port {port}" in said.told


@pytest.fixture(params=[b"", b"HTTP/1.1 200 OK\r\n\r\n[]", b"HTTP/1.1 200 OK\r\n\r\n{}", b"no http\r\n\r\n"])
def other(request: pytest.FixtureRequest) -> Iterator[int]:
    """Something else on that port, which answers once."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(request.param)

        thread = threading.Thread(target=answer)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(timeout=5)


def test_somebody_else_there_is_status_1(newsflow: Newsflow, monkeypatch: pytest.MonkeyPatch, other: int) -> None:
    monkeypatch.setenv("HEALTH_PORT", str(other))
    said = newsflow("health")
    assert (said.status, said.out) == (1, "")


def test_a_port_that_nobody_knows_is_wrong_use(newsflow: Newsflow) -> None:
    said = newsflow("health")
    assert said.status == 2
    assert "HEALTH_PORT" in said.told
