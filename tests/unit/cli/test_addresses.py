from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer

from services.cli import addresses
from services.cli.addresses import settings_of
from services.embedded.run_file import RunFile
from services.runtime.elasticsearch import ElasticsearchSettings
from services.runtime.settings import ServiceSettings
from tests.unit.cli.conftest import Newsflow


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RunFile:
    """An embedded stack that is up."""
    run = RunFile(
        kafka="127.0.0.1:20000",
        elasticsearch="http://127.0.0.1:20001",
        folder=tmp_path,
        created=datetime.now(UTC),
        ready=True,
        supervisor=tmp_path / "s",
        ports={},
    )
    monkeypatch.setattr(addresses, "read_run_file", lambda: run)
    return run


@pytest.mark.parametrize(
    "words", ["search ferry", "status", "produce seeds", "dlq list", "dlq replay --all", "setup"]
)
def test_nobody_to_ask_is_status_2_and_says_what_to_do(newsflow: Newsflow, words: str) -> None:
    said = newsflow(*words.split())
    assert (said.status, said.out) == (2, "")
    for hint in ("newsflow up", "KAFKA_BOOTSTRAP_SERVERS", "ELASTICSEARCH_URL"):
        assert hint in said.told


def test_half_an_environment_is_not_enough(newsflow: Newsflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "broker.example:9092")
    said = newsflow("search", "ferry")
    assert said.status == 2
    assert "ELASTICSEARCH_URL" in said.told


def test_what_is_wrong_in_the_environment_is_named(newsflow: Newsflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "broker.example:9092")
    monkeypatch.setenv("LOG_FORMAT", "xml")
    said = newsflow("dlq", "list")
    assert said.status == 2
    assert "setting LOG_FORMAT: " in said.told


@pytest.mark.usefixtures("stack")
def test_the_stack_that_is_up_is_asked() -> None:
    settings = settings_of(ElasticsearchSettings)
    assert settings.kafka_bootstrap_servers == "127.0.0.1:20000"
    assert settings.elasticsearch_url == "http://127.0.0.1:20001"
    assert settings_of(ServiceSettings).servers == ["127.0.0.1:20000"]


@pytest.mark.usefixtures("stack")
def test_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELASTICSEARCH_URL", "http://search.example:9200")
    monkeypatch.setenv("NEWSFLOW_PREFIX", "night-")
    settings = settings_of(ElasticsearchSettings)
    assert settings.elasticsearch_url == "http://search.example:9200"
    assert settings.kafka_bootstrap_servers == "127.0.0.1:20000"
    assert settings.newsflow_prefix == "night-"


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("variable", ["LOG_FORMAT", "NEWSFLOW_PREFIX", "KAFKA_BOOTSTRAP_SERVERS"])
def test_with_a_stack_up_what_is_wrong_is_named_as_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str
) -> None:
    monkeypatch.setenv(variable, "" if variable == "KAFKA_BOOTSTRAP_SERVERS" else "Wrong")
    with pytest.raises((SystemExit, typer.Exit)) as ended:
        settings_of(ElasticsearchSettings)
    assert getattr(ended.value, "exit_code", getattr(ended.value, "code", None)) == 2
    assert f"setting {variable}: " in capsys.readouterr().err
