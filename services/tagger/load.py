"""A tagger made of its settings: the models, the tables, the user's files."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schemas.article import DedupedArticle, TaggedArticle
from services.tagger.canonical import Aliases
from services.tagger.core import Knowledge, tag_articles
from services.tagger.gazetteer import load_gazetteer
from services.tagger.settings import TaggerSettings
from services.tagger.spacy_model import load_models
from services.tagger.user_files import AliasNames, UserFile, read_aliases, read_wikidata

Tag = Callable[[Sequence[DedupedArticle]], list[TaggedArticle]]


def load_tagger(settings: TaggerSettings) -> Tag:
    """What tags articles (2 s and 400 MB for the default model). Raises OSError and ValueError as its parts do."""
    models = load_models(
        settings.model, settings.model_batch_size, settings.remembered_paragraphs, settings.gazetteer
    )
    aliases: UserFile[AliasNames] = UserFile(settings.aliases, read_aliases, {})
    wikidata: UserFile[dict[str, str]] = UserFile(settings.wikidata, read_wikidata, {})
    gazetteer = load_gazetteer()

    def tag(articles: Sequence[DedupedArticle]) -> list[TaggedArticle]:
        knowledge = Knowledge(gazetteer, settings.refinements, Aliases(aliases.current(), wikidata.current()))
        return tag_articles(articles, models, knowledge)

    return tag
