from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from services.cleaner.settings import CleanerSettings
from services.deduper.settings import DeduperSettings
from services.indexer.settings import IndexerSettings
from services.producer.settings import ProducerSettings
from services.runtime.elasticsearch import ElasticsearchSettings
from services.runtime.settings import ServiceSettings, StageSettings, load_settings
from services.setup.settings import SetupSettings
from services.tagger.settings import TaggerSettings

STAGES: tuple[type[StageSettings], ...] = (CleanerSettings, DeduperSettings, TaggerSettings)
ALL: tuple[type[ServiceSettings], ...] = (
    *STAGES,
    IndexerSettings,
    ProducerSettings,
    SetupSettings,
    ElasticsearchSettings,
)
ASKING = (IndexerSettings, SetupSettings, ElasticsearchSettings)
"""Those that need Elasticsearch."""

SHARED = {
    "KAFKA_BOOTSTRAP_SERVERS": ("kafka_bootstrap_servers", "broker.example:9092"),
    "NEWSFLOW_PREFIX": ("newsflow_prefix", "night-"),
    "LOG_LEVEL": ("log_level", "DEBUG"),
    "LOG_FORMAT": ("log_format", "json"),
    "HEALTH_HOST": ("health_host", "0.0.0.0"),
    "HEALTH_PORT": ("health_port", 8099),
    "KAFKA_SESSION_TIMEOUT_SECONDS": ("session_timeout_seconds", 33.0),
    "KAFKA_MAX_POLL_INTERVAL_SECONDS": ("max_poll_interval_seconds", 55.0),
    "KAFKA_BOOTSTRAP_TIMEOUT_SECONDS": ("bootstrap_timeout_seconds", 22.0),
    "STALL_LIMIT_SECONDS": ("stall_limit_seconds", 44.0),
}
"""Variable -> the field that it sets in every service, and a value that is not the default."""

ADDRESSES = {"KAFKA_BOOTSTRAP_SERVERS": "broker.example:9092", "ELASTICSEARCH_URL": "http://search.example:9200"}


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for settings in ALL:
        prefix = settings.model_config.get("env_prefix", "")
        for field in settings.model_fields:
            monkeypatch.delenv(f"{prefix}{field.upper()}", raising=False)
            monkeypatch.delenv(field.upper(), raising=False)
    for variable in SHARED:
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in ADDRESSES.items():
        monkeypatch.setenv(variable, value)


def refused(settings: type[ServiceSettings], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines on standard error with which `settings` refuses the environment."""
    with pytest.raises(SystemExit) as stopped:
        load_settings(settings)
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    return said.err.splitlines()


# ---------------------------------------------------------------- which variable sets what


@pytest.mark.usefixtures("addresses")
@pytest.mark.parametrize("prefix", ["CLEANER", "DEDUPER", "TAGGER"])
def test_a_stages_own_variable_reaches_that_stage_only(monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    before = {settings: load_settings(settings).processes for settings in STAGES}
    monkeypatch.setenv(f"{prefix}_PROCESSES", "7")
    after = {settings: load_settings(settings).processes for settings in STAGES}
    changed = [settings.__name__ for settings in STAGES if after[settings] != before[settings]]
    assert changed == [f"{prefix.capitalize()}Settings"]
    assert 7 in after.values()


@pytest.mark.usefixtures("addresses")
@pytest.mark.parametrize("settings", STAGES)
def test_an_own_setting_is_not_read_without_its_prefix(
    monkeypatch: pytest.MonkeyPatch, settings: type[StageSettings]
) -> None:
    before = load_settings(settings)
    for field in ("PROCESSES", "BATCH_RECORDS", "CHUNK_RECORDS", "CHILD_MAX_RECORDS"):
        monkeypatch.setenv(field, "77")
    assert load_settings(settings) == before


@pytest.mark.parametrize("settings", ALL)
def test_shared_names_hold_for_every_service(
    monkeypatch: pytest.MonkeyPatch, settings: type[ServiceSettings]
) -> None:
    monkeypatch.setenv("ELASTICSEARCH_URL", ADDRESSES["ELASTICSEARCH_URL"])
    for variable, (_, value) in SHARED.items():
        monkeypatch.setenv(variable, str(value))
    loaded = load_settings(settings)
    assert {field: getattr(loaded, field) for field, _ in SHARED.values()} == dict(SHARED.values())


@pytest.mark.usefixtures("addresses")
@pytest.mark.parametrize("settings", ASKING)
def test_where_elasticsearch_is_and_its_key_are_shared_names(
    monkeypatch: pytest.MonkeyPatch, settings: type[ServiceSettings]
) -> None:
    monkeypatch.setenv("ELASTICSEARCH_API_KEY", "a-key")
    loaded = load_settings(settings).model_dump()
    assert loaded["elasticsearch_url"] == ADDRESSES["ELASTICSEARCH_URL"]
    key = loaded["elasticsearch_api_key"]
    assert (key.get_secret_value() if isinstance(key, SecretStr) else key) == "a-key"


@pytest.mark.usefixtures("addresses")
def test_the_defaults_are_a_small_installation() -> None:
    cleaner = load_settings(CleanerSettings)
    assert (cleaner.newsflow_prefix, cleaner.health_host, cleaner.log_format) == ("", "127.0.0.1", "text")
    # Longer than a session: a process that is busy with its slowest document is no stall.
    assert cleaner.stall_limit_seconds > cleaner.document_limit_seconds > cleaner.session_timeout_seconds


def test_several_servers_are_apart_by_commas() -> None:
    settings = ServiceSettings(kafka_bootstrap_servers="a.example:9092, b.example:9092")
    assert settings.servers == ["a.example:9092", "b.example:9092"]


def test_settings_are_frozen() -> None:
    settings = ServiceSettings(kafka_bootstrap_servers="a.example:9092")
    with pytest.raises(ValidationError, match="frozen"):
        settings.log_level = "DEBUG"  # type: ignore[misc]  # that is what is tried


# ---------------------------------------------------------------- the prefix of a pipeline


@given(st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}-", fullmatch=True))
def test_a_prefix_goes_before_every_name(prefix: str) -> None:
    settings = ServiceSettings(kafka_bootstrap_servers="a.example:9092", newsflow_prefix=prefix)
    assert settings.name("articles-raw") == f"{prefix}articles-raw"


@pytest.mark.parametrize(
    "prefix", ["night", "-", "-night-", "Night-", "night_", "night.", "night- ", "nïght-", "n\n-"]
)
def test_a_prefix_that_names_no_topic_or_index_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], prefix: str
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", ADDRESSES["KAFKA_BOOTSTRAP_SERVERS"])
    monkeypatch.setenv("NEWSFLOW_PREFIX", prefix)
    (line,) = refused(CleanerSettings, capsys)
    assert line.startswith("setting NEWSFLOW_PREFIX: ")


# ---------------------------------------------------------------- what is wrong is named


@pytest.mark.parametrize("settings", ALL)
def test_a_missing_address_is_named(settings: type[ServiceSettings], capsys: pytest.CaptureFixture[str]) -> None:
    expected = ["KAFKA_BOOTSTRAP_SERVERS", *(["ELASTICSEARCH_URL"] if settings in ASKING else [])]
    assert [line.split(":")[0] for line in refused(settings, capsys)] == [f"setting {name}" for name in expected]


@pytest.mark.parametrize("variable", ADDRESSES)
def test_an_empty_address_is_as_good_as_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], addresses: None, variable: str
) -> None:
    monkeypatch.setenv(variable, "")
    (line,) = refused(IndexerSettings, capsys)
    assert line.startswith(f"setting {variable}: ")


@pytest.mark.usefixtures("addresses")
@pytest.mark.parametrize(
    ("settings", "variable", "value"),
    [
        (CleanerSettings, "CLEANER_PROCESSES", "0"),
        (TaggerSettings, "TAGGER_PROCESSES", "many"),
        (DeduperSettings, "DEDUPER_DOCUMENT_LIMIT_SECONDS", "0"),
        (IndexerSettings, "INDEXER_BULK_BYTES", "12"),
        (ProducerSettings, "PRODUCER_IN_FLIGHT_RECORDS", "-1"),
        (SetupSettings, "SETUP_WAIT_SECONDS", "0"),
        (CleanerSettings, "LOG_FORMAT", "xml"),
        (CleanerSettings, "HEALTH_PORT", "70000"),
        # The field behind it has another name than the variable.
        (CleanerSettings, "KAFKA_SESSION_TIMEOUT_SECONDS", "1"),
        (CleanerSettings, "LOG_LEVEL", "chatty"),
    ],
)
def test_a_wrong_value_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    settings: type[ServiceSettings],
    variable: str,
    value: str,
) -> None:
    monkeypatch.setenv(variable, value)
    (line,) = refused(settings, capsys)
    assert line.startswith(f"setting {variable}: ")


def test_everything_that_is_wrong_is_named_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TAGGER_MODEL_BATCH_SIZE", "0")
    monkeypatch.setenv("NEWSFLOW_PREFIX", "night")
    named = {line.split(":")[0].removeprefix("setting ") for line in refused(TaggerSettings, capsys)}
    assert named == {"KAFKA_BOOTSTRAP_SERVERS", "NEWSFLOW_PREFIX", "TAGGER_MODEL_BATCH_SIZE"}


# ---------------------------------------------------------------- keys


@pytest.mark.usefixtures("addresses")
@pytest.mark.parametrize(
    "settings",
    [
        IndexerSettings,
        ElasticsearchSettings,
        SetupSettings,
    ],
)
def test_a_key_is_not_shown_with_the_settings(
    monkeypatch: pytest.MonkeyPatch, settings: type[ServiceSettings]
) -> None:
    monkeypatch.setenv("ELASTICSEARCH_API_KEY", "a-key-of-ours")
    loaded = load_settings(settings)
    assert "a-key-of-ours" not in f"{loaded!r} {loaded} {loaded.model_dump()} {loaded.model_dump_json()}"
