"""`newsflow worker` and `newsflow indexer`: one process of a service, in the foreground."""

from __future__ import annotations

from enum import StrEnum
from importlib import import_module
from typing import Annotated

import typer

from services.cli.addresses import settings_of


class Worker(StrEnum):
    """The services between two topics."""

    CLEANER = "cleaner"
    DEDUPER = "deduper"
    LINKER = "linker"
    TAGGER = "tagger"


def worker(stage: Annotated[Worker, typer.Argument(help="Which stage.")]) -> None:
    """Run one process of a stage until it is told to stop (Ctrl-C, SIGTERM)."""
    _run(stage.value)


def indexer() -> None:
    """Run one indexer process until it is told to stop (Ctrl-C, SIGTERM)."""
    _run("indexer")


def _run(service: str) -> None:
    # Imported here: a host of one service has the libraries of that service only.
    settings = getattr(import_module(f"services.{service}.settings"), f"{service.capitalize()}Settings")
    app = import_module(f"services.{service}.app")
    app.main(settings_of(settings))
