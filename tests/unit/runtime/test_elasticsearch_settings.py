from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from services.indexer.settings import IndexerSettings
from services.runtime.elasticsearch import ElasticsearchSettings
from services.runtime.settings import load_settings
from services.setup.settings import SetupSettings

ALL = [ElasticsearchSettings, IndexerSettings, SetupSettings]

KEY = "a2V5LWlkOmtleS1zZWNyZXQ="


@pytest.fixture(autouse=True)
def _addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "broker.example:9092")
    monkeypatch.setenv("ELASTICSEARCH_URL", "http://search.example:9200")
    for variable in ("ELASTICSEARCH_API_KEY", "ELASTICSEARCH_API_KEY_FILE", "ELASTIC_PASSWORD"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "api_key"
    file.write_text(f"{KEY}\n")
    return file


def sent(settings: ElasticsearchSettings) -> str | None:
    """The credentials that a request carries."""
    with settings.connect() as client:
        value: str | None = client._headers.get("authorization")
        return value


def refused(settings: type[ElasticsearchSettings], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        load_settings(settings)
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("settings", ALL)
def test_the_key_is_sent_from_the_variable_or_from_the_file(
    monkeypatch: pytest.MonkeyPatch, key_file: Path, settings: type[ElasticsearchSettings]
) -> None:
    assert sent(load_settings(settings)) is None
    monkeypatch.setenv("ELASTICSEARCH_API_KEY_FILE", str(key_file))
    assert sent(load_settings(settings)) == f"ApiKey {KEY}"
    monkeypatch.delenv("ELASTICSEARCH_API_KEY_FILE")
    monkeypatch.setenv("ELASTICSEARCH_API_KEY", "another")
    assert sent(load_settings(settings)) == "ApiKey another"


@pytest.mark.parametrize("settings", ALL)
def test_empty_is_as_good_as_unset(monkeypatch: pytest.MonkeyPatch, settings: type[ElasticsearchSettings]) -> None:
    for variable in ("ELASTICSEARCH_API_KEY", "ELASTICSEARCH_API_KEY_FILE", "ELASTIC_PASSWORD"):
        monkeypatch.setenv(variable, "")
    assert sent(load_settings(settings)) is None


@pytest.mark.parametrize("settings", ALL)
def test_a_key_twice_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    key_file: Path,
    settings: type[ElasticsearchSettings],
) -> None:
    monkeypatch.setenv("ELASTICSEARCH_API_KEY", "another")
    monkeypatch.setenv("ELASTICSEARCH_API_KEY_FILE", str(key_file))
    line = refused(settings, capsys)
    assert line.startswith("setting ELASTICSEARCH_API_KEY_FILE: ")
    assert "ELASTICSEARCH_API_KEY, not both" in line


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_a_file_without_a_key_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "nothing"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("ELASTICSEARCH_API_KEY_FILE", str(file))
    line = refused(IndexerSettings, capsys)
    assert line.startswith("setting ELASTICSEARCH_API_KEY_FILE: ")
    assert str(file) in line


def test_the_file_is_read_again_for_each_client(monkeypatch: pytest.MonkeyPatch, key_file: Path) -> None:
    monkeypatch.setenv("ELASTICSEARCH_API_KEY_FILE", str(key_file))
    settings = load_settings(IndexerSettings)
    key_file.write_text("newer")
    assert sent(settings) == "ApiKey newer"
    key_file.unlink()
    with pytest.raises(ValueError, match="newsflow setup writes the keys"):
        settings.connect()


def test_options_are_the_clients_own() -> None:
    with load_settings(ElasticsearchSettings).connect(request_timeout=3) as client:
        assert client._request_timeout == 3


def test_what_is_wrong_is_shown_without_the_value(monkeypatch: pytest.MonkeyPatch, key_file: Path) -> None:
    monkeypatch.setenv("ELASTICSEARCH_API_KEY", "secret-key")
    monkeypatch.setenv("LOG_FORMAT", "secret-in-the-wrong-place")
    with pytest.raises(ValidationError) as error:
        ElasticsearchSettings()
    assert "secret" not in str(error.value)


# ---------------------------------------------------------------- set-up


def test_setup_logs_in_as_elastic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELASTIC_PASSWORD", "a-password")
    settings = load_settings(SetupSettings)
    assert sent(settings) == "Basic ZWxhc3RpYzphLXBhc3N3b3Jk"
    assert "a-password" not in f"{settings!r} {settings.model_dump()} {settings.model_dump_json()}"


@pytest.mark.parametrize("by_file", [True, False])
def test_a_password_and_a_key_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], key_file: Path, by_file: bool
) -> None:
    monkeypatch.setenv("ELASTIC_PASSWORD", "a-password")
    if by_file:
        monkeypatch.setenv("ELASTICSEARCH_API_KEY_FILE", str(key_file))
    else:
        monkeypatch.setenv("ELASTICSEARCH_API_KEY", KEY)
    assert refused(SetupSettings, capsys).startswith("setting ELASTIC_PASSWORD: ")


def test_setup_reads_its_own_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("KIBANA_PASSWORD", "KIBANA_URL", "NEWSFLOW_KEYS_DIR", "BIND_ADDRESS"):
        monkeypatch.delenv(variable, raising=False)
    unset = load_settings(SetupSettings)
    assert (unset.kibana_password, unset.kibana_url, unset.keys_dir) == (None, None, None)
    assert unset.bind_address == "127.0.0.1"
    monkeypatch.setenv("KIBANA_PASSWORD", "another")
    monkeypatch.setenv("KIBANA_URL", "http://kibana:5601")
    monkeypatch.setenv("NEWSFLOW_KEYS_DIR", str(tmp_path))
    monkeypatch.setenv("BIND_ADDRESS", "0.0.0.0")
    settings = load_settings(SetupSettings)
    assert settings.kibana_password
    assert settings.kibana_password.get_secret_value() == "another"
    assert (settings.kibana_url, settings.keys_dir) == ("http://kibana:5601", tmp_path)
    assert settings.bind_address == "0.0.0.0"
