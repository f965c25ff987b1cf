"""docker-compose.yml against the settings: its YAML with the values of .env in it, as `docker compose` reads it."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import AliasChoices
from pydantic_settings import BaseSettings

from services.cleaner.settings import CleanerSettings
from services.cli.retag import RetagSettings
from services.deduper.settings import DeduperSettings
from services.gateway.settings import GatewaySettings
from services.indexer.settings import IndexerSettings
from services.linker.settings import LinkerSettings
from services.producer.settings import ProducerSettings
from services.runtime.elasticsearch import ElasticsearchSettings
from services.setup.settings import SetupSettings
from services.tagger.settings import TaggerSettings

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"

SETTINGS: dict[str, type[BaseSettings]] = {
    "setup": SetupSettings,
    "setup-kibana": SetupSettings,
    "seeds": ProducerSettings,
    "feeds": ProducerSettings,
    "produce": ProducerSettings,
    "gateway": GatewaySettings,
    "cleaner": CleanerSettings,
    "deduper": DeduperSettings,
    "linker": LinkerSettings,
    "tagger": TaggerSettings,
    "indexer": IndexerSettings,
    "cli": ElasticsearchSettings,
    "retag": RetagSettings,
}
"""Service -> what reads its environment."""

SERVERS = {"kafka", "elasticsearch", "kibana"}
TOOLS = {"cli", "retag", "produce"}
ONE_SHOTS = {"setup", "setup-kibana", "seeds", *TOOLS}


def variables(settings: type[BaseSettings]) -> set[str]:
    """Every environment variable that a settings class reads."""
    prefix = str(settings.model_config.get("env_prefix", ""))
    found = set()
    for name, each in settings.model_fields.items():
        alias = each.validation_alias
        if isinstance(alias, AliasChoices):
            found |= {str(choice).upper() for choice in alias.choices}
        else:
            found.add(str(alias).upper() if alias else f"{prefix}{name}".upper())
    return found


def shipped() -> dict[str, str]:
    lines = (ROOT / ".env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


VARIABLE = re.compile(r"\$\$|\$\{(?P<name>[A-Z_]+)(?:(?P<operator>:[-?])(?P<default>[^}]*))?\}")


def interpolated(part: Any, values: dict[str, str]) -> Any:
    """Compose's rules, as far as the file uses them: `${NAME}`, `${NAME:-default}`, `${NAME:?message}` and `$$`, in
    the texts of the parsed file."""
    if isinstance(part, dict):
        return {key: interpolated(inner, values) for key, inner in part.items()}
    if isinstance(part, list):
        return [interpolated(inner, values) for inner in part]
    if not isinstance(part, str):
        return part

    def value(match: re.Match[str]) -> str:
        if match["name"] is None:
            return "$"
        found = values.get(match["name"], "")
        if not found and match["operator"] == ":?":
            raise ValueError(f"{match['name']} {match['default']}")
        return found or (match["default"] or "" if match["operator"] == ":-" else "")

    return VARIABLE.sub(value, part)


@cache
def services() -> dict[str, dict[str, Any]]:
    """Service -> its keys, with the anchors merged and the values of .env."""
    file = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    found: dict[str, dict[str, Any]] = interpolated(file["services"], shipped())
    return found


def environment(service: str) -> dict[str, str]:
    return {name: str(value) for name, value in services()[service].get("environment", {}).items()}


def test_variables_are_interpolated() -> None:
    values = {"SET": "1", "EMPTY": ""}
    assert interpolated("${SET} ${SET:-2} ${EMPTY:-3} ${NONE:-} $$SET ${SET:?x}", values) == "1 1 3  $SET 1"
    with pytest.raises(ValueError, match="EMPTY is in"):
        interpolated("${EMPTY:?is in .env}", values)


def test_every_service_is_known() -> None:
    assert services().keys() == SETTINGS.keys() | SERVERS


def test_every_setting_is_a_field() -> None:
    unknown = {service: environment(service).keys() - variables(SETTINGS[service]) for service in SETTINGS}
    assert {service: names for service, names in unknown.items() if names} == {}


def test_a_setting_that_is_none_is_noticed() -> None:
    assert "TAGGER_PROCESSES" in variables(TaggerSettings)
    assert "KAFKA_BOOTSTRAP_SERVERS" in variables(TaggerSettings)
    assert "TAGGER_PROCESES" not in variables(TaggerSettings)
    assert "TAGGER_PROCESSES" not in variables(CleanerSettings)


@pytest.mark.parametrize("service", sorted(SETTINGS))
def test_settings_take_the_values_of_the_file(
    service: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in os.environ:
        if name in variables(SETTINGS[service]):
            monkeypatch.delenv(name)
    for name, value in environment(service).items():
        monkeypatch.setenv(name, value)
    if "ELASTICSEARCH_API_KEY_FILE" in environment(service):
        key = tmp_path / "api_key"
        key.write_text("a2V5\n")
        monkeypatch.setenv("ELASTICSEARCH_API_KEY_FILE", str(key))
    SETTINGS[service]()


@pytest.mark.parametrize("service", sorted(SETTINGS.keys() | SERVERS))
def test_services_have_limits_and_few_rights(service: str) -> None:
    found = services()[service]
    assert re.fullmatch("[1-9][0-9]*[mg]", found["mem_limit"])
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert found["logging"]["options"].keys() == {"max-size", "max-file"}
    assert found["restart"] == ("no" if service in ONE_SHOTS else "unless-stopped")
    assert ("healthcheck" in found) == (service not in ONE_SHOTS)
    assert not {"container_name", "privileged", "network_mode", "pid"} & found.keys()
    if service in SETTINGS:
        assert found["user"] == "1000:1000"
        assert found["read_only"] is True
        assert found["init"] is True
        assert found["pull_policy"] == "never"  # or whoever publishes an image of this name is run
        assert [mount.split(":")[0] for mount in found["tmpfs"]] == ["/tmp"]
        assert ("ports" in found) == (service == "gateway")  # with one it cannot be scaled


def test_every_port_is_on_the_bind_address() -> None:
    ports = [port.split(":") for found in services().values() for port in found.get("ports", [])]
    assert sorted(int(container) for _, _, container in ports) == [5601, 8090, 9092, 9200]
    assert {address for address, _, _ in ports} == {"127.0.0.1"}


def test_ports_are_settings_too() -> None:
    ports = re.findall(r'ports: \["(.*)"\]', FILE.read_text())
    assert len(ports) == 4
    assert all(re.fullmatch(r"\$\{BIND_ADDRESS:-127\.0\.0\.1\}:\$\{[A-Z]+_PORT:-\d+\}:\d+", port) for port in ports)


def test_defaults_in_the_file_are_those_of_env() -> None:
    found = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", FILE.read_text()))
    unset = {"NEWSFLOW_VERSION"}
    assert found.keys() - shipped().keys() == unset
    assert {name: value for name, value in found.items() if name not in unset} == {
        name: value for name, value in shipped().items() if name in found
    }


def test_everything_in_env_is_used() -> None:
    used = set(re.findall(r"\$\{([A-Z_]+)", FILE.read_text()))
    assert shipped().keys() - used == {"COMPOSE_PROFILES"}


def test_kafka_is_the_version_that_the_live_tests_run() -> None:
    lock = (ROOT / "deploy/embedded/jars.lock.json").read_text()
    assert f"org.apache.kafka:kafka-clients:{shipped()['KAFKA_VERSION']}" in lock
    assert f"org.elasticsearch:elasticsearch:{shipped()['STACK_VERSION']}" in lock


def test_the_data_is_on_volumes_and_no_topic_makes_itself() -> None:
    assert environment("kafka")["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    named = yaml.safe_load(FILE.read_text(encoding="utf-8"))["volumes"]
    volumes = [volume.split(":") for volume in services()["kafka"]["volumes"]]
    assert environment("kafka")["KAFKA_LOG_DIRS"] in {folder for name, folder in volumes if name in named}


def test_a_one_shot_that_ends_is_waited_for() -> None:
    """`docker compose up --wait` takes a service that has ended for failed unless one waits for its end."""
    awaited = {
        name
        for found in services().values()
        for name, dependency in found.get("depends_on", {}).items()
        if dependency["condition"] == "service_completed_successfully"
    }
    assert awaited == ONE_SHOTS - TOOLS


def test_images_hold_nothing_of_the_working_tree() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    assert not [line for line in lines if line.startswith("!") and (".env" in line or ".git" in line)]
    assert "--require-hashes" in (ROOT / "deploy/docker/Dockerfile").read_text()
