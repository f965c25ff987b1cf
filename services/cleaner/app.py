"""The cleaner: articles-raw to articles-clean, and a tombstone there to articles-retracted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from schemas.article import CleanArticle, RawArticle
from schemas.topics import ARTICLES_CLEAN, ARTICLES_RAW, ARTICLES_RETRACTED
from services.cleaner.boilerplate import compile_rules
from services.cleaner.core import clean_article
from services.cleaner.language import tell_language
from services.cleaner.settings import CleanerSettings
from services.runtime.settings import load_settings
from services.runtime.stage import Received, Stage, Step, run_stage


def load_step(settings: CleanerSettings) -> Step:
    """The cleaner's step."""
    policy = settings.policy
    # What is loaded when it is first needed is needed by every article: no first one waits for it.
    compile_rules()
    tell_language("", None)

    def clean(records: Sequence[Received[RawArticle]]) -> list[CleanArticle]:
        return [clean_article(record.article, record.time, policy) for record in records]

    return clean


STAGE = Stage("cleaner", ARTICLES_RAW, ARTICLES_CLEAN, load_step, tombstones=ARTICLES_RETRACTED)


def main(settings: CleanerSettings | None = None) -> NoReturn:
    """Run one cleaner process, with the settings from the environment if none are given."""
    run_stage(STAGE, settings or load_settings(CleanerSettings))
