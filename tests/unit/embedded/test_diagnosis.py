"""What the doctor finds, and that it says what to do."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.embedded import diagnosis
from services.embedded.diagnosis import Check
from services.embedded.leftovers import STACK_MARK
from services.embedded.settings import EmbeddedSettings


def by_name(settings: EmbeddedSettings) -> dict[str, Check]:
    return {check.name: check for check in diagnosis.check_embedded(settings)}


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert isinstance(port, int)
    return port


def test_this_machine_runs_java_and_reads_every_codec() -> None:
    assert diagnosis.check_python().ok
    assert diagnosis.check_java().ok
    assert all(check.ok for check in diagnosis.check_codecs())
    assert diagnosis.check_model().ok


def test_an_empty_cache_is_fatal_only_if_the_mirror_is_away(tmp_path: Path, closed_port: int) -> None:
    settings = EmbeddedSettings(
        run_dir=tmp_path / "run", cache_dir=tmp_path / "cache", maven_url=f"http://127.0.0.1:{closed_port}"
    )
    checks = by_name(settings)
    assert not checks["jars"].ok
    assert not checks["jars"].fatal
    assert not checks["mirror"].ok
    assert checks["mirror"].fatal
    assert "NEWSFLOW_MAVEN_URL" in checks["mirror"].advice
    assert list(tmp_path.iterdir()) == []


def test_too_little_disk_is_fatal_only_where_elasticsearch_would_stop(tmp_path: Path) -> None:
    little = EmbeddedSettings.model_validate({"run_dir": tmp_path, "disk_needed_mb": 1 << 40})
    check = diagnosis.check_disk(little)
    assert (check.ok, check.fatal) == (False, False)
    nothing = EmbeddedSettings.model_validate(
        {"run_dir": tmp_path, "disk_needed_mb": 1 << 40, "disk_high_mb": 1 << 39}
    )
    assert diagnosis.check_disk(nothing).fatal


def test_processes_that_a_killed_stack_left_are_named(tmp_path: Path) -> None:
    settings = EmbeddedSettings(run_dir=tmp_path)
    [check] = diagnosis.check_stack(settings, None)
    assert check.ok
    with subprocess.Popen(
        [sys.executable, "-c", "print('up', flush=True); input()"],
        env={STACK_MARK: str(settings.run_folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as left:
        assert left.stdout
        left.stdout.readline()
        [check] = diagnosis.check_stack(settings, None)
        left.kill()
    assert not check.ok
    assert str(left.pid) in check.found


GIB = 1 << 30

Docker = Callable[..., None]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    """Put a docker command first on the path that gives these answers; None fails."""
    for variable in ("BIND_ADDRESS", "KAFKA_PORT", "ES_PORT", "KIBANA_PORT", "COMPOSE_PROJECT_NAME"):
        monkeypatch.delenv(variable, raising=False)

    def install(info: str | None = None, compose: str | None = None, ps: str = "") -> None:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        lines = ["#!/bin/sh", "case $1 in"]
        for word, answer in (("info", info), ("compose", compose), ("ps", ps)):
            does = "echo no daemon >&2; exit 1" if answer is None else f"printf '%s\\n' '{answer}'"
            lines.append(f"{word}) {does};;")
        (folder / "docker").write_text("\n".join([*lines, "esac"]) + "\n")
        (folder / "docker").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")

    return install


def docker_checks() -> dict[str, Check]:
    return {check.name: check for check in diagnosis.check_docker()}


def test_a_docker_that_is_new_and_large_enough_is_ok(
    docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosis, "DOCKER_DISK_MB", 1)
    docker(f"28.5.2+dfsg4\t{8 * GIB}\t{tmp_path}", "v2.40.3-3")
    checks = docker_checks()
    assert checks.keys() == {"docker", "docker memory", "docker disk", "compose"}
    assert all(check.ok for check in checks.values())
    assert (checks["docker"].found, checks["compose"].found) == ("28.5.2+dfsg4", "v2.40.3-3")


def test_an_old_small_and_full_docker_is_told_but_not_fatal(
    docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosis, "DOCKER_DISK_MB", 1 << 40)
    docker(f"20.10.24\t{2 * GIB}\t{tmp_path}", "2.9.0")
    checks = docker_checks()
    assert [check.name for check in checks.values() if check.ok or check.fatal] == []
    assert "25.0" in checks["docker"].advice
    assert "2048 MiB" in checks["docker memory"].found
    assert "2.21" in checks["compose"].advice


def test_an_engine_that_does_not_answer_and_a_missing_compose(docker: Docker) -> None:
    docker(None, None)
    checks = docker_checks()
    assert checks.keys() == {"docker", "compose"}
    assert (checks["docker"].ok, checks["docker"].found) == (False, "no daemon")
    assert "Start Docker" in checks["docker"].advice
    assert not checks["compose"].ok


def test_the_disk_of_a_docker_elsewhere_is_not_ours_to_measure(docker: Docker) -> None:
    docker(f"28.5.2\t{8 * GIB}\t/no/such/folder", "2.40.3")
    assert "docker disk" not in docker_checks()


def test_no_docker_is_fine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    [check] = diagnosis.check_docker()
    assert check.ok
    assert "not installed" in check.found


@pytest.mark.parametrize(
    ("count", "ok", "recommends"), [(65_530, False, True), (262_144, True, True), (1_048_576, True, False)]
)
def test_max_map_count(
    count: int, ok: bool, recommends: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "max_map_count"
    file.write_text(f"{count}\n")
    monkeypatch.setattr(diagnosis, "MAX_MAP_COUNT", file)
    [check] = diagnosis.check_map_count()
    assert (check.ok, check.fatal, "1048576" in check.found) == (ok, False, recommends or count == 1_048_576)
    assert ("recommends" in check.found) is recommends
    assert "vm.max_map_count=1048576" in check.advice


def test_max_map_count_is_asked_on_linux_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "MAX_MAP_COUNT", tmp_path / "none")
    assert list(diagnosis.check_map_count()) == []


@pytest.fixture
def held_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def write_env(folder: Path, port: int, more: str = "") -> None:
    (folder / ".env").write_text(f"KAFKA_PORT={port}\nES_PORT={port}\nKIBANA_PORT={port}\n{more}")


def test_free_ports_of_the_env_file_are_ok(docker: Docker, tmp_path: Path, closed_port: int) -> None:
    docker()
    write_env(tmp_path, closed_port)
    checks = list(diagnosis.check_ports(tmp_path))
    assert [(check.name, check.ok) for check in checks] == [(f"port {closed_port}", True)] * 3


def test_a_variable_wins_over_the_env_file_as_in_compose(
    docker: Docker, tmp_path: Path, closed_port: int, held_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker()
    write_env(tmp_path, closed_port)
    monkeypatch.setenv("ES_PORT", str(held_port))
    assert [check.ok for check in diagnosis.check_ports(tmp_path)] == [True, False, True]


def test_without_an_env_file_the_ports_are_the_usual_ones(docker: Docker, tmp_path: Path) -> None:
    docker()
    assert [check.name for check in diagnosis.check_ports(tmp_path)] == ["port 9092", "port 9200", "port 5601"]


def test_who_holds_a_port_is_told(docker: Docker, tmp_path: Path, held_port: int) -> None:
    docker()
    write_env(tmp_path, held_port)
    kafka, *_ = diagnosis.check_ports(tmp_path)
    assert (kafka.ok, kafka.fatal) == (False, False)
    assert f"(process {os.getpid()})" in kafka.found
    assert "KAFKA_PORT" in kafka.advice


def test_who_holds_a_port_without_the_extra(
    docker: Docker, tmp_path: Path, held_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker()
    monkeypatch.setattr(diagnosis, "ABSENT", "psutil")
    write_env(tmp_path, held_port)
    kafka, *_ = diagnosis.check_ports(tmp_path)
    assert "cannot be told" in kafka.found


@pytest.mark.parametrize("own", ["newsflow\t/elsewhere", "renamed\t{folder}"])
def test_a_port_that_our_own_compose_holds_is_fine(
    own: str, docker: Docker, tmp_path: Path, held_port: int
) -> None:
    docker(ps="stack-kafka-1\t" + own.format(folder=tmp_path))
    write_env(tmp_path, held_port)
    kafka, *_ = diagnosis.check_ports(tmp_path)
    assert kafka.ok
    assert "own container stack-kafka-1" in kafka.found


def test_a_port_that_another_container_holds_is_not(docker: Docker, tmp_path: Path, held_port: int) -> None:
    docker(ps="other-kafka-1\tother\t/elsewhere")
    write_env(tmp_path, held_port)
    kafka, *_ = diagnosis.check_ports(tmp_path)
    assert not kafka.ok
    assert "held by container other-kafka-1" in kafka.found


def test_an_address_that_this_machine_does_not_have(docker: Docker, tmp_path: Path, closed_port: int) -> None:
    docker()
    write_env(tmp_path, closed_port, "BIND_ADDRESS=192.0.2.1\n")
    kafka, *_ = diagnosis.check_ports(tmp_path)
    assert not kafka.ok
    assert "BIND_ADDRESS" in kafka.advice


def test_a_wrong_env_file_is_told(docker: Docker, tmp_path: Path) -> None:
    docker()
    (tmp_path / ".env").write_text("KAFKA_PORT=kafka\n")
    [check] = diagnosis.check_ports(tmp_path)
    assert not check.ok
    assert check.found.startswith("KAFKA_PORT: ")
