"""`newsflow` as it is called, in this process: its entry point, with the arguments and standard input given."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.cli import app

VARIABLES = (
    "KAFKA_BOOTSTRAP_SERVERS",
    "ELASTICSEARCH_URL",
    "ELASTICSEARCH_API_KEY",
    "ELASTICSEARCH_API_KEY_FILE",
    "ELASTIC_PASSWORD",
    "KIBANA_URL",
    "HEALTH_HOST",
    "HEALTH_PORT",
    "NEWSFLOW_PREFIX",
    "LOG_FORMAT",
)


@dataclass(frozen=True)
class Said:
    """What a call said, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def told(self) -> str:
        """Standard error on one line, without the frames around it."""
        return " ".join(self.err.replace("│", " ").split())


Newsflow = Callable[..., Said]


@pytest.fixture(autouse=True)
def _no_stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable is set, and no embedded stack is up."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NEWSFLOW_RUN_DIR", str(tmp_path / "no-stack"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # typer sets its own
    # A verb that logs sets these for its whole process.
    monkeypatch.setattr(logging.getLogger(), "handlers", logging.getLogger().handlers[:])
    monkeypatch.setattr(logging.getLogger(), "level", logging.getLogger().level)


@pytest.fixture
def newsflow(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Newsflow:
    """Call the command. An exception that nobody caught comes out of it, as a traceback would."""

    def call(*arguments: str | Path, stdin: bytes = b"") -> Said:
        monkeypatch.setattr(sys, "argv", ["newsflow", *map(str, arguments)])
        monkeypatch.setattr(sys.modules["__main__"], "__package__", None)  # else usage says `python -m pytest`
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as ended:
            app.main()
        sys.stdout.flush()
        sys.stderr.flush()
        out, err = capfdbinary.readouterr()
        status = ended.value.code or 0
        assert isinstance(status, int)
        return Said(status, out.decode("utf-8", "surrogateescape"), err.decode())

    return call
