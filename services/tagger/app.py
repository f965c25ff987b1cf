"""The tagger: articles-deduped to articles-tagged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from schemas.article import DedupedArticle, TaggedArticle
from schemas.topics import ARTICLES_DEDUPED, ARTICLES_TAGGED
from services.runtime.settings import load_settings
from services.runtime.step import Received, Stage, Step
from services.tagger.settings import TaggerSettings


def load_step(settings: TaggerSettings) -> Step:
    """The tagger's step, with the models and the tables loaded."""
    from services.tagger.load import load_tagger  # noqa: PLC0415 - the parent process needs none of it

    tag = load_tagger(settings)

    def tag_records(records: Sequence[Received[DedupedArticle]]) -> list[TaggedArticle]:
        return tag([record.article for record in records])

    return tag_records


def outcome(article: TaggedArticle) -> str:
    """Whether names were looked for: the share of articles where they were not shall be seen."""
    return article.entities.value


STAGE = Stage("tagger", ARTICLES_DEDUPED, ARTICLES_TAGGED, load_step, outcome=outcome)


def main(settings: TaggerSettings | None = None) -> NoReturn:
    """Run one tagger process, with the settings from the environment if none are given."""
    from services.runtime.stage import run_stage  # noqa: PLC0415 - Faust, which the child processes do not need

    run_stage(STAGE, settings or load_settings(TaggerSettings))
