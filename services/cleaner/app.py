"""The cleaner: articles-raw to articles-clean, and a tombstone there to articles-retracted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from schemas.article import CleanArticle, RawArticle
from schemas.topics import ARTICLES_CLEAN, ARTICLES_RAW, ARTICLES_RETRACTED
from services.cleaner.settings import CleanerSettings
from services.runtime.settings import load_settings
from services.runtime.step import Received, Stage, Step


def load_step(settings: CleanerSettings) -> Step:
    """The cleaner's step."""
    from services.cleaner.core import clean_article  # noqa: PLC0415 - the parent process needs none of these
    from services.cleaner.language import tell_language  # noqa: PLC0415

    policy = settings.policy
    # Loaded when it is first needed, and needed by every article: no first one waits for it. The patterns of the
    # rules are compiled as texts meet them: most texts meet few of those of 30 languages.
    tell_language("", None)

    def clean(records: Sequence[Received[RawArticle]]) -> list[CleanArticle]:
        return [clean_article(record.article, record.time, policy) for record in records]

    return clean


STAGE = Stage("cleaner", ARTICLES_RAW, ARTICLES_CLEAN, load_step, tombstones=ARTICLES_RETRACTED)


def main(settings: CleanerSettings | None = None) -> NoReturn:
    """Run one cleaner process, with the settings from the environment if none are given."""
    from services.runtime.stage import run_stage  # noqa: PLC0415 - Faust, which the child processes do not need

    run_stage(STAGE, settings or load_settings(CleanerSettings))
