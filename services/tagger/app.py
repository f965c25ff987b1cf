"""The tagger: articles-deduped to articles-tagged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from schemas.article import DedupedArticle, TaggedArticle
from schemas.topics import ARTICLES_DEDUPED, ARTICLES_TAGGED
from services.runtime.settings import load_settings
from services.runtime.stage import Received, Stage, Step, run_stage
from services.tagger.core import Knowledge, tag_articles
from services.tagger.gazetteer import load_gazetteer
from services.tagger.settings import TaggerSettings
from services.tagger.spacy_model import load_model


def load_step(settings: TaggerSettings) -> Step:
    """The tagger's step, with the model and the gazetteer loaded."""
    model = load_model(settings.model, settings.model_batch_size)
    knowledge = Knowledge(load_gazetteer(), settings.refinements)

    def tag(records: Sequence[Received[DedupedArticle]]) -> list[TaggedArticle]:
        articles = [record.article for record in records]
        return tag_articles(articles, model.find_spans, model.languages, {"model": model.version}, knowledge)

    return tag


STAGE = Stage("tagger", ARTICLES_DEDUPED, ARTICLES_TAGGED, load_step)


def main(settings: TaggerSettings | None = None) -> NoReturn:
    """Run one tagger process, with the settings from the environment if none are given."""
    run_stage(STAGE, settings or load_settings(TaggerSettings))
