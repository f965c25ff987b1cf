"""A tagger made of its settings: the models, the tables, the user's files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from schemas.article import DedupedArticle, TaggedArticle
from services.tagger.canonical import Aliases
from services.tagger.core import VERSION, Knowledge, tag_articles
from services.tagger.gazetteer import load_gazetteer
from services.tagger.names import EVERY_REFINEMENT, Refinement
from services.tagger.settings import TaggerSettings
from services.tagger.spacy_model import load_models, model_identity
from services.tagger.user_files import AliasNames, UserFile, digest_of, read_aliases, read_wikidata

Tag = Callable[[Sequence[DedupedArticle]], list[TaggedArticle]]


def load_tagger(settings: TaggerSettings) -> Tag:
    """What tags articles (1.5 s, 200 MB for the default model). Raises OSError and ValueError as its parts do."""
    models = load_models(
        settings.model, settings.model_batch_size, settings.remembered_paragraphs, settings.gazetteer
    )
    own_names = next(iter(models.values())).own_names
    aliases: UserFile[AliasNames] = UserFile(settings.aliases, read_aliases, {})
    wikidata: UserFile[dict[str, str]] = UserFile(settings.wikidata, read_wikidata, {})
    gazetteer = load_gazetteer()

    def tag(articles: Sequence[DedupedArticle]) -> list[TaggedArticle]:
        known = Aliases(aliases.current(), wikidata.current())
        own_names.current()
        version = _version(settings.refinements, (own_names.digest, aliases.digest, wikidata.digest))
        return tag_articles(articles, models, Knowledge(gazetteer, settings.refinements, known, version))

    return tag


def versions_of(settings: TaggerSettings) -> tuple[dict[str, str], str]:
    """The version of the model of each language, the first one's first, and that of the tagger: as a tagger with
    these settings stamps them on articles. Loads no model; raises as `load_tagger`.
    """
    models = {identity.language: identity.version for identity in map(model_identity, settings.model)}
    files = (settings.gazetteer, settings.aliases, settings.wikidata)
    return models, _version(settings.refinements, [digest_of(path) if path else None for path in files])


def _version(refinements: frozenset[Refinement], digests: Iterable[str | None]) -> str:
    """`VERSION`, and behind a plus sign a hash of what else decides, where the user has said something."""
    chosen = "" if refinements == EVERY_REFINEMENT else f"only {sorted(refinements)}"
    said = [chosen, *(digest or "" for digest in digests)]
    return f"{VERSION}+{sha256(' '.join(said).encode()).hexdigest()[:12]}" if any(said) else VERSION
