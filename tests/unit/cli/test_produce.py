from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from kafka.errors import KafkaConnectionError

from schemas.article import RawArticle
from services.cli import produce
from services.producer.app import Report
from services.producer.core import Found, Unusable
from services.producer.settings import ProducerSettings
from tests.unit.cli.conftest import Newsflow


class Kafka:
    """Stands for `publish`: takes every article that is usable."""

    def __init__(self) -> None:
        self.articles: list[RawArticle] = []

    def publish(
        self, settings: ProducerSettings, articles: Iterable[Found | Unusable], done: Callable[[Report], None]
    ) -> Report:
        report = Report()
        for each in articles:
            if isinstance(each, Found):
                self.articles.append(each.article)
                report.confirmed += 1
            else:
                report.failed.append(each)
            done(report)
        return report


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> Kafka:
    kafka = Kafka()
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setattr(produce, "publish", kafka.publish)
    return kafka


def test_the_samples_are_sent_when_no_path_is_given(newsflow: Newsflow, kafka: Kafka) -> None:
    said = newsflow("produce", "seeds", "--json")
    assert (said.status, said.err) == (0, "")
    answer = json.loads(said.out)
    assert answer["failed"] == []
    assert answer["confirmed"] == len(kafka.articles) > 10
    assert all(article.producer for article in kafka.articles)


def test_files_and_folders_are_sent_under_the_publisher_given(
    newsflow: Newsflow, kafka: Kafka, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("The ferry sails.", encoding="utf-8")
    said = newsflow("produce", "seeds", tmp_path, "--publisher", "harbour-post.example")
    assert said.status == 0
    assert "1 articles confirmed by Kafka, 0 not" in said.out
    assert [(article.publisher, article.body) for article in kafka.articles] == [
        ("harbour-post.example", "The ferry sails.")
    ]


def test_standard_input_is_json_lines(newsflow: Newsflow, kafka: Kafka) -> None:
    stdin = b'{"publisher": "p.example", "body": "one"}\n\n{"publisher": "p.example", "body": "two"}'
    assert newsflow("produce", "-", "--json", stdin=stdin).status == 0
    assert [(article.body, article.producer) for article in kafka.articles] == [("one", None), ("two", None)]


def test_what_was_not_sent_is_listed_and_the_others_go_on(newsflow: Newsflow, kafka: Kafka, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff")
    (tmp_path / "b.txt").write_text("The ferry sails.", encoding="utf-8")
    said = newsflow("produce", "seeds", tmp_path, tmp_path / "missing.txt", "--json")
    assert said.status == 1
    answer = json.loads(said.out)
    assert answer["confirmed"] == len(kafka.articles) == 1
    assert [each["origin"] for each in answer["failed"]] == [str(tmp_path / "a.txt"), str(tmp_path / "missing.txt")]
    assert all(each["error"] for each in answer["failed"])
    assert "not UTF-8" in said.told


def test_no_broker_is_status_1(newsflow: Newsflow, kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Report:
        raise KafkaConnectionError("refused")

    monkeypatch.setattr(produce, "publish", fail)
    said = newsflow("produce", "-", "--json")
    assert (said.status, said.out) == (1, "")
    assert "127.0.0.1:1" in said.told


@pytest.mark.usefixtures("kafka")
def test_a_publisher_that_is_no_name_is_wrong_use(newsflow: Newsflow, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The ferry sails.", encoding="utf-8")
    said = newsflow("produce", "seeds", tmp_path, "--publisher", " ")
    assert said.status == 2
    assert "publisher" in said.told
