from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import Gauge

from services.runtime.health import Health, serve_health

LEVEL = Gauge("newsflow_test_level", "Set by a test")


def get(port: int, path: str) -> tuple[int, str, str]:
    """Status, content type and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()
    finally:
        connection.close()


def healthz(port: int) -> tuple[int, dict[str, Any]]:
    status, kind, body = get(port, "/healthz")
    assert kind == "application/json"
    return status, json.loads(body)


def test_it_starts_as_not_well() -> None:
    assert Health("cleaner").reason == "starting"


def test_causes_add_up_and_each_ends_for_itself() -> None:
    health = Health("cleaner")
    changes: list[tuple[Callable[..., None], *tuple[str, ...]]] = [
        (health.green, "start"),
        (health.red, "kafka", "Kafka does not answer"),
        (health.red, "stall", "3 records wait"),
        (health.green, "kafka"),
        (health.green, "stall"),
    ]
    reasons = []
    for change, *about in changes:
        change(*about)
        reasons.append(health.reason)
    assert reasons == [
        None,
        "Kafka does not answer",
        "Kafka does not answer; 3 records wait",
        "3 records wait",
        None,
    ]


def test_the_latest_reason_of_a_cause_counts() -> None:
    health = Health("cleaner")
    health.green("start")
    health.red("stall", "3 records wait for 10 s")
    health.red("stall", "3 records wait for 12 s")
    assert health.reason == "3 records wait for 12 s"
    health.green("stall")
    assert health.reason is None


def test_the_end_of_a_cause_that_was_none_changes_nothing() -> None:
    health = Health("cleaner")
    health.green("kafka")
    assert health.reason == "starting"


def test_healthz_says_whether_it_is_well_and_why_not() -> None:
    health = Health("deduper")
    port = serve_health(health, "127.0.0.1", 0)
    assert healthz(port) == (503, {"name": "deduper", "ok": False, "reason": "starting"})
    health.green("start")
    assert healthz(port) == (200, {"name": "deduper", "ok": True, "reason": None})
    health.red("stall", "a “quoted” reason")
    assert healthz(port) == (503, {"name": "deduper", "ok": False, "reason": "a “quoted” reason"})


def test_metrics_are_for_prometheus() -> None:
    port = serve_health(Health("cleaner"), "127.0.0.1", 0)
    LEVEL.set(42)
    status, kind, body = get(port, "/metrics")
    assert (status, kind.split(";")[0]) == (200, "text/plain")
    assert "newsflow_test_level 42.0" in body.splitlines()


@pytest.mark.parametrize("path", ["/", "/health", "/healthz/more", "/metricsz"])
def test_any_other_page_is_not_there(path: str) -> None:
    status, _, body = get(serve_health(Health("cleaner"), "127.0.0.1", 0), path)
    assert status == 404
    assert "/healthz" in body


def test_a_slow_client_holds_up_no_other(capfd: pytest.CaptureFixture[str]) -> None:
    port = serve_health(Health("cleaner"), "127.0.0.1", 0)
    capfd.readouterr()
    with socket.create_connection(("127.0.0.1", port), timeout=5) as silent:
        silent.sendall(b"GET /healthz HTTP/1.1\r\n")  # and never the rest
        assert healthz(port)[0] == 503
    assert capfd.readouterr().err == "", "a health check is not news"
