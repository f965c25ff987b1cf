"""The deduper: articles-clean to articles-deduped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from schemas.article import CleanArticle
from schemas.topics import ARTICLES_CLEAN, ARTICLES_DEDUPED, PUBLISHER_BOILERPLATE
from services.deduper.boilerplate import sight
from services.deduper.core import drop_repeats
from services.deduper.memory import Memory
from services.deduper.settings import DeduperSettings
from services.runtime.partition_store import PartitionStore
from services.runtime.remembering import Remembering
from services.runtime.settings import load_settings
from services.runtime.step import Noted, Received, Stage, Step


def load_step(settings: DeduperSettings) -> Step:
    """The deduper's step."""

    def drop(records: Sequence[Received[CleanArticle]]) -> list[Noted]:
        return [
            Noted(
                drop_repeats(
                    record.article,
                    shingle_words=settings.shingle_words,
                    threshold=settings.threshold,
                    min_words=settings.min_words,
                    near_words=settings.near_words,
                ),
                sight(record.article, min_words=settings.boilerplate_words),
            )
            for record in records
        ]

    return drop


def create_memory(settings: DeduperSettings, store: PartitionStore) -> Memory:
    """The memory of one partition's publishers."""
    return Memory(
        store,
        least=settings.boilerplate_articles,
        within=settings.window,
        likeness=settings.boilerplate_likeness,
    )


STAGE = Stage(
    "deduper", ARTICLES_CLEAN, ARTICLES_DEDUPED, load_step, Remembering(PUBLISHER_BOILERPLATE, create_memory)
)


def main(settings: DeduperSettings | None = None) -> NoReturn:
    """Run one deduper process, with the settings from the environment if none are given."""
    from services.runtime.stage import run_stage  # noqa: PLC0415 - Faust, which the child processes do not need

    run_stage(STAGE, settings or load_settings(DeduperSettings))
