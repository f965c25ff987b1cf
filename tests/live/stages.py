"""Stages with a fault built in, run by `python -m tests.live.stages NAME`, to see what a stage does about it.

Each passes articles through from `articles-raw` to `articles-clean`; the body of an article says what happens.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from collections.abc import Sequence

from pydantic_settings import SettingsConfigDict

from schemas.article import CleanArticle, Paragraph, RawArticle
from schemas.identity import article_id
from schemas.topics import ARTICLES_CLEAN, ARTICLES_RAW
from services.runtime.settings import StageSettings, load_settings
from services.runtime.stage import Received, Stage, Step, run_stage


class FaultySettings(StageSettings):
    model_config = SettingsConfigDict(env_prefix="FAULTY_")

    seconds: float = 0.0


def load_step(settings: FaultySettings) -> Step:
    def step(records: Sequence[Received[RawArticle]]) -> list[CleanArticle]:
        results = []
        for record in records:
            body = record.article.body or ""
            if body.startswith("raise"):
                raise KeyError("a bug nobody thought of")
            if body.startswith("hang"):
                time.sleep(3600)
            if body.startswith("die"):
                os.kill(os.getpid(), signal.SIGKILL)
            if body.startswith("grow"):
                body = body * 5_000_000
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
