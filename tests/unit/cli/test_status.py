from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from kafka.errors import KafkaConnectionError

from services.cli import status
from services.cli.kafka_admin import Lag
from services.embedded.run_file import RunFile, ServiceAddress
from services.runtime.elasticsearch import ElasticsearchSettings
from services.runtime.health import Health, serve_health
from services.runtime.search_client import SearchError
from tests.unit.cli.conftest import Newsflow

SETTINGS = ElasticsearchSettings(kafka_bootstrap_servers="127.0.0.1:1", elasticsearch_url="http://127.0.0.1:1")


class Client:
    """Stands for the Elasticsearch client."""

    def __init__(self, stack: Stack) -> None:
        self.refresh = stack.refresh
        self.stack = stack

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def search(self, index: str, **_: object) -> dict[str, object]:
        assert index == "news-articles"
        return {"aggregations": self.stack.aggregations}

    def count(self, index: str) -> int:
        assert index == "news-articles"
        return 42


class Stack:
    """What the verb sees: the lags, look by look, and the services."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lags: Iterator[Sequence[int] | Exception] = iter([])
        self.services: tuple[ServiceAddress, ...] = ()
        self.may_refresh = True
        self.aggregations: dict[str, object] = {"entities": {"buckets": []}, "models": {"buckets": []}}

    def look(self, _: object) -> list[Lag]:
        self.now += 0.1  # asking takes a while
        values = next(self.lags, (0, 0))
        if isinstance(values, Exception):
            raise values
        return [
            Lag(f"articles-{name}", group, value, 100)
            for (name, group), value in zip((("raw", "cleaner"), ("clean", "deduper")), values, strict=True)
        ]

    def refresh(self, index: str) -> None:
        assert index == "news-articles"
        if not self.may_refresh:
            raise SearchError("security_exception", 403)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def run_file(self) -> RunFile | None:
        here = Path("/nowhere")
        return RunFile(
            kafka="127.0.0.1:1",
            elasticsearch="http://127.0.0.1:1",
            folder=here,
            created=datetime.now(UTC),
            services=self.services,
            supervisor=here,
            ports={},
        )


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Stack:
    stack = Stack()
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("ELASTICSEARCH_URL", "http://127.0.0.1:1")
    monkeypatch.setattr(status, "lags", stack.look)
    monkeypatch.setattr(status, "waiting_letters", lambda _: [*map(dead, ["cleaner", "tagger"])])
    monkeypatch.setattr(ElasticsearchSettings, "search_client", lambda _: Client(stack))
    monkeypatch.setattr(status, "read_run_file", stack.run_file)
    monkeypatch.setattr(status, "time", SimpleNamespace(monotonic=lambda: stack.now, sleep=stack.sleep))
    return stack


def dead(stage: str) -> SimpleNamespace:
    return SimpleNamespace(stage=stage)


def service(name: str, well: bool) -> ServiceAddress:
    """A service that answers health checks here."""
    health = Health(name)
    if well:
        health.green("start")
    return ServiceAddress(name=name, health=f"http://127.0.0.1:{serve_health(health, '127.0.0.1', 0)}")


def test_the_shape_that_scripts_rely_on(newsflow: Newsflow, stack: Stack) -> None:
    stack.lags = iter([(7, 0)])
    stack.services = (service("cleaner", well=True),)
    said = newsflow("status", "--json")
    assert said.status == 0
    assert json.loads(said.out) == {
        "ok": True,
        "topics": [
            {"topic": "articles-raw", "group": "cleaner", "lag": 7, "end_offset": 100},
            {"topic": "articles-clean", "group": "deduper", "lag": 0, "end_offset": 100},
        ],
        "indexed": 42,
        "dead_letters": 2,
        "dead_letters_alarm": False,
        "entities": {"tagged": 0, "unsupported_language": 0, "languages": {}, "models": {}, "failed": 1},
        "services": [{"name": "cleaner", "ok": True, "reason": None}],
    }


def test_a_service_that_is_not_well_or_not_there_is_status_1(newsflow: Newsflow, stack: Stack) -> None:
    gone = ServiceAddress(name="deduper", health="http://127.0.0.1:1")
    stack.services = (service("cleaner", well=False), gone, service("tagger", well=True))
    said = newsflow("status", "--json")
    assert said.status == 1
    answer = json.loads(said.out)
    assert answer["ok"] is False
    assert [(each["name"], each["ok"]) for each in answer["services"]] == [
        ("cleaner", False),
        ("deduper", False),
        ("tagger", True),
    ]
    assert answer["services"][0]["reason"] == "starting"
    assert "no answer" in answer["services"][1]["reason"]


def test_a_key_that_may_only_read_is_enough(newsflow: Newsflow, stack: Stack) -> None:
    stack.may_refresh = False
    said = newsflow("status", "--json")
    assert (said.status, json.loads(said.out)["indexed"]) == (0, 42)


def test_people_read_the_same(newsflow: Newsflow, stack: Stack) -> None:
    stack.services = (service("cleaner", well=False),)
    said = newsflow("status")
    assert said.status == 1
    for text in ("articles-raw", "deduper", "42 articles in the index, 2 dead letters", "cleaner: starting"):
        assert text in said.out


@pytest.mark.parametrize(("allowed", "alarm"), [("1", True), ("2", False)])
def test_too_many_dead_letters_are_said(
    newsflow: Newsflow, stack: Stack, monkeypatch: pytest.MonkeyPatch, allowed: str, alarm: bool
) -> None:
    monkeypatch.setenv("DLQ_ALARM_RECORDS", allowed)
    said = newsflow("status", "--json")
    assert (said.status, json.loads(said.out)["ok"]) == (0, True), "the services are well all the same"
    assert json.loads(said.out)["dead_letters_alarm"] is alarm
    said = newsflow("status")
    assert said.status == 0
    assert ("newsflow dlq purge" in " ".join(said.out.split())) is alarm


def test_articles_in_which_names_were_not_looked_for_are_seen(newsflow: Newsflow, stack: Stack) -> None:
    languages = {"buckets": [{"key": "ru", "doc_count": 8}, {"key": "de", "doc_count": 3}]}
    stack.aggregations = {
        "entities": {
            "buckets": [
                {"key": "tagged", "doc_count": 31},
                {"key": "unsupported_language", "doc_count": 11, "languages": languages},
            ]
        },
        "models": {"buckets": [{"key": "model en-1+a", "doc_count": 30}, {"key": "model en-2+b", "doc_count": 1}]},
    }
    assert json.loads(newsflow("status", "--json").out)["entities"] == {
        "tagged": 31,
        "unsupported_language": 11,
        "languages": {"ru": 8, "de": 3},
        "models": {"en-1+a": 30, "en-2+b": 1},
        "failed": 1,
    }
    said = " ".join(newsflow("status").out.split())
    assert "names: looked for in 31 articles, in 11 not for want of a model (ru 8, de 3), in 1 the tagger" in said
    assert "models: en-1+a 30, en-2+b 1; newsflow retag brings all to one" in said


@pytest.mark.parametrize(
    "error", [KafkaConnectionError("refused"), LookupError("topic articles-raw does not exist")]
)
def test_nobody_who_answers_is_status_1(newsflow: Newsflow, stack: Stack, error: Exception) -> None:
    stack.lags = iter([error])
    said = newsflow("status", "--json")
    assert (said.status, said.out) == (1, "")
    assert str(error) in said.told


def wait(stack: Stack, *looks: Sequence[int] | Exception, seconds: float = 60) -> bool:
    stack.lags = iter(looks)
    return status.wait_until_idle(SETTINGS, seconds)


def test_idle_is_seen_twice_in_a_row(stack: Stack) -> None:
    assert wait(stack, (3, 0), (0, 0), (0, 1), (0, 0), (0, 0), (9, 9))
    assert next(stack.lags) == (9, 9)


def test_a_broker_that_is_just_restarting_is_waited_for(stack: Stack) -> None:
    assert wait(stack, (0, 0), KafkaConnectionError(), (0, 0), KafkaConnectionError(), (0, 0), (0, 0), (9, 9))
    assert next(stack.lags) == (9, 9)


def test_waiting_ends_with_its_time(newsflow: Newsflow, stack: Stack) -> None:
    assert wait(stack, *[(1, 0)] * 1_000, seconds=5) is False
    assert stack.now == pytest.approx(5, abs=2 * status.LOOK_SECONDS)
    stack.lags = iter([(1, 0)] * 1_000)
    said = newsflow("status", "--wait-idle", "5", "--json")
    assert said.status == 1
    assert "Records still wait after 5 s" in said.told
    assert json.loads(said.out)["topics"][0]["lag"] == 1, "and how many"


def test_who_is_idle_has_no_need_of_time(stack: Stack) -> None:
    assert wait(stack, (0, 0), (0, 0), seconds=0)
