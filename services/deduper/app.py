"""The deduper: articles-clean to articles-deduped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from schemas.article import CleanArticle, DedupedArticle
from schemas.topics import ARTICLES_CLEAN, ARTICLES_DEDUPED
from services.deduper.core import drop_repeats
from services.deduper.settings import DeduperSettings
from services.runtime.settings import load_settings
from services.runtime.stage import Received, Stage, Step, run_stage


def load_step(settings: DeduperSettings) -> Step:
    """The deduper's step."""

    def drop(records: Sequence[Received[CleanArticle]]) -> list[DedupedArticle]:
        return [
            drop_repeats(
                record.article,
                shingle_words=settings.shingle_words,
                threshold=settings.threshold,
                min_words=settings.min_words,
                near_words=settings.near_words,
            )
            for record in records
        ]

    return drop


STAGE = Stage("deduper", ARTICLES_CLEAN, ARTICLES_DEDUPED, load_step)


def main(settings: DeduperSettings | None = None) -> NoReturn:
    """Run one deduper process, with the settings from the environment if none are given."""
    run_stage(STAGE, settings or load_settings(DeduperSettings))
