"""`newsflow worker` and `newsflow indexer`: one process of a service, in the foreground."""

from __future__ import annotations

from enum import StrEnum
from importlib import import_module
from typing import Annotated

import typer


class Worker(StrEnum):
    """The stages that run on Faust."""

    CLEANER = "cleaner"
    DEDUPER = "deduper"
    TAGGER = "tagger"


def worker(stage: Annotated[Worker, typer.Argument(help="Which stage.")]) -> None:
    """Run one process of a stage until it is told to stop (Ctrl-C, SIGTERM)."""
    # Imported here: a host of one service has the libraries of that service only.
    import_module(f"services.{stage.value}.app").main()


def indexer() -> None:
    """Run one indexer process until it is told to stop (Ctrl-C, SIGTERM)."""
    import_module("services.indexer.app").main()
