from __future__ import annotations

import pytest

from services.cli import setup
from services.setup.kibana import KibanaError
from services.setup.security import DEFAULT_PASSWORDS
from services.setup.settings import SetupSettings
from tests.unit.cli.conftest import Newsflow


@pytest.fixture(autouse=True)
def _addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "broker.example:9092")
    monkeypatch.setenv("ELASTICSEARCH_URL", "http://search.example:9200")
    for variable in ("BIND_ADDRESS", "KIBANA_PASSWORD", "NEWSFLOW_KEYS_DIR"):
        monkeypatch.delenv(variable, raising=False)


class Kibana:
    """Stands for the import."""

    def __init__(self) -> None:
        self.settings: list[SetupSettings] = []
        self.error: Exception | None = None

    def import_objects(self, settings: SetupSettings) -> list[str]:
        if self.error:
            raise self.error
        self.settings.append(settings)
        return ["index-pattern:news-articles", "dashboard:newsroom"]


@pytest.fixture
def kibana(monkeypatch: pytest.MonkeyPatch) -> Kibana:
    kibana = Kibana()
    monkeypatch.setattr(setup, "import_objects", kibana.import_objects)
    monkeypatch.setattr(setup, "set_up", lambda _: pytest.fail("--kibana does Kibana's objects only"))
    return kibana


def test_it_says_what_was_set_up(newsflow: Newsflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "set_up", lambda _: {"topics": ["articles-raw", "articles-dlq"], "indices": []})
    said = newsflow("setup")
    assert said.status == 0
    assert said.out.splitlines() == ["topics: articles-raw, articles-dlq set up", "indices: all there"]


@pytest.mark.parametrize(
    "error", [ValueError("[x] wrong"), TimeoutError("[x] late"), PermissionError(13, "[x] not allowed", "/keys")]
)
def test_what_failed_is_told(newsflow: Newsflow, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(setup, "set_up", fail)
    said = newsflow("setup")
    assert (said.status, said.out) == (1, "")
    assert f"Set-up failed: {error}" in said.told


def test_a_password_of_everybody_is_refused_beyond_loopback(
    newsflow: Newsflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIND_ADDRESS", "0.0.0.0")
    for variable, password in DEFAULT_PASSWORDS.items():
        monkeypatch.setenv(variable, password)
    for words in (["setup"], ["setup", "--kibana"]):
        monkeypatch.setenv("KIBANA_URL", "http://127.0.0.1:1")
        said = newsflow(*words)
        assert (said.status, said.out) == (1, "")
        assert "ELASTIC_PASSWORD and KIBANA_PASSWORD are as shipped" in said.told


def test_kibanas_objects_are_a_set_up_of_their_own(
    newsflow: Newsflow, monkeypatch: pytest.MonkeyPatch, kibana: Kibana
) -> None:
    monkeypatch.setenv("KIBANA_URL", "http://kibana.example:5601")
    said = newsflow("setup", "--kibana")
    assert said.status == 0
    assert said.out == "kibana: index-pattern:news-articles, dashboard:newsroom set up\n"
    assert [settings.kibana_url for settings in kibana.settings] == ["http://kibana.example:5601"]


def test_without_an_address_of_kibana_it_says_so(newsflow: Newsflow) -> None:
    said = newsflow("setup", "--kibana")
    assert (said.status, said.out) == (1, "")
    assert "KIBANA_URL" in said.told


@pytest.mark.parametrize("error", [ValueError("[x] 3 of 4"), TimeoutError("[x] late"), KibanaError("[x] refused")])
def test_kibana_that_fails_is_status_1(
    newsflow: Newsflow, monkeypatch: pytest.MonkeyPatch, kibana: Kibana, error: Exception
) -> None:
    monkeypatch.setenv("KIBANA_URL", "http://kibana.example:5601")
    kibana.error = error
    said = newsflow("setup", "--kibana")
    assert (said.status, said.out) == (1, "")
    assert f"Set-up failed: {error}" in said.told
