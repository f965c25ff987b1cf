"""Stages with a fault built in, run by `python -m tests.live.stages NAME`, to see what a stage does about it.

Each passes articles through from `articles-raw` to `articles-clean`; the body of an article says what happens.
"""

from __future__ import annotations

import importlib
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence

from lxml import etree
from pydantic_settings import SettingsConfigDict

from schemas.article import CleanArticle, Paragraph, RawArticle
from schemas.identity import article_id
from schemas.topics import ARTICLES_CLEAN, ARTICLES_RAW
from services.runtime.settings import StageSettings, load_settings
from services.runtime.stage import run_stage
from services.runtime.step import Received, Stage, Step


class FaultySettings(StageSettings):
    model_config = SettingsConfigDict(env_prefix="FAULTY_")

    seconds: float = 0.0
    repaired: bool = False
    """No fault happens any more, whatever a body says."""


def parse_without_memory() -> None:
    """lxml's own way to say that there is no memory left, which is no MemoryError."""
    document = etree.fromstring(b"<r>" + b"<p>text</p>" * 200_000 + b"</r>")
    held = []
    while True:
        try:
            held.append(bytearray(2**20))
        except MemoryError:
            break
    etree.XPath("//p[string-length(.) > 1]/ancestor-or-self::*")(document)


def spin() -> None:
    """Work without end that lets no other thread of its process run meanwhile."""
    re.fullmatch("(a+)+", "a" * 64 + "b")


FAULTS: dict[str, Callable[[], object]] = {
    "hang": lambda: time.sleep(3600),
    "spin": spin,
    "die": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "fill": lambda: bytearray(2**30),
    "deep fill": parse_without_memory,
}
"""What happens at a body that begins so."""


def load_step(settings: FaultySettings) -> Step:
    def step(records: Sequence[Received[RawArticle]]) -> list[CleanArticle]:
        results = []
        for record in records:
            body = record.article.body or ""
            if not settings.repaired:
                if body.startswith("raise"):
                    raise KeyError("a bug nobody thought of")
                for word, happens in FAULTS.items():
                    if body.startswith(word):
                        happens()
                if body.startswith("grow"):
                    body = body * 5_000_000
            if body.startswith("pid"):
                body = str(os.getpid())
            time.sleep(settings.seconds)
            results.append(
                CleanArticle(
                    id=article_id(record.article),
                    revision=0,
                    received=record.time,
                    publisher=record.article.publisher,
                    language="en",
                    language_confidence=1,
                    kept=(Paragraph(index=0, text=body),),
                )
            )
        return results

    return step


STAGE = Stage("cleaner", ARTICLES_RAW, ARTICLES_CLEAN, load_step)

if __name__ == "__main__":
    sys.argv[1:] = []
    # By its own name, so that the child processes find the step by import.
    itself = importlib.import_module("tests.live.stages")
    run_stage(itself.STAGE, load_settings(itself.FaultySettings))
