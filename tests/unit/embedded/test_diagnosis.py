"""What the doctor finds, and that it says what to do."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from services.embedded import diagnosis
from services.embedded.diagnosis import Check
from services.embedded.leftovers import STACK_MARK
from services.embedded.settings import EmbeddedSettings


def by_name(settings: EmbeddedSettings) -> dict[str, Check]:
    return {check.name: check for check in diagnosis.diagnose(settings)}


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
