"""From the spans that a model finds to an article's entities.

An article's way through the tagger: `find_names` (names.py) repairs and completes the spans, `canonical_entities`
(canonical.py) says which entity each is, and here both become the tagged article.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from schemas.article import PLAIN_SPACES, DedupedArticle, Entities, Entity, Label, Mention, Place, TaggedArticle
from services.tagger.canonical import NO_ALIASES, Aliases, Canonical, canonical_entities
from services.tagger.gazetteer import Gazetteer
from services.tagger.names import EVERY_REFINEMENT, Refinement, Span, find_names

VERSION = "4"
"""Changes whenever the same article and the same spans would give other entities."""


@dataclass(frozen=True)
class Knowledge:
    """What the tagger knows beside the model."""

    gazetteer: Gazetteer
    refinements: frozenset[Refinement] = EVERY_REFINEMENT
    aliases: Aliases = NO_ALIASES
    version: str = VERSION
    """For an article's `versions["tagger"]`: `VERSION`, and what else the user's settings and files say."""


class Model(Protocol):
    """What finds names in texts of one language."""

    @property
    def version(self) -> str:
        """For an article's `versions["model"]`."""

    def find_spans(self, texts: Sequence[str]) -> list[list[Span]]:
        """The names of each text, as offsets into it."""


def tag_articles(
    articles: Sequence[DedupedArticle], models: Mapping[str, Model], knowledge: Knowledge
) -> list[TaggedArticle]:
    """The articles in their order, each with its entities; a model is called once for all bodies of its language.

    `models` are by primary subtag (`en`). An article in another language comes out without entities and says so.
    One whose language is undetermined (`und`) is read by the first model: it is mostly too short to tell, and there
    a missed name costs a reader more than a wrong one.

    The spans may overlap, lie outside the body or come in any order. What comes out satisfies:
    `body[start:end] == text` for every mention, mentions in order without overlap, each of an entity of the
    article, and an entity's count is the number of its mentions.
    """
    first = next(iter(models))
    by_model: dict[str, list[int]] = {}
    for i, article in enumerate(articles):
        subtag = article.language.split("-")[0].lower()
        by_model.setdefault(first if subtag == "und" else subtag, []).append(i)
    tagged: dict[int, TaggedArticle] = {}
    for language, places in by_model.items():
        model = models.get(language)
        if model is None:
            tagged |= {i: _untagged(articles[i], knowledge.version) for i in places}
            continue
        bodies = [articles[i].body.translate(PLAIN_SPACES) for i in places]
        known = knowledge if language == "en" else replace(knowledge, refinements=knowledge.refinements - ENGLISH)
        versions = {"model": model.version, "tagger": knowledge.version}
        for i, body, spans in zip(places, bodies, model.find_spans(bodies), strict=True):
            tagged[i] = _tagged(articles[i], body, spans, versions, known)
    return [tagged[i] for i in range(len(articles))]


ENGLISH = frozenset({Refinement.GAZETTEER, Refinement.CONTEXT})
"""Refinements whose words are English."""


def _untagged(article: DedupedArticle, version: str) -> TaggedArticle:
    return TaggedArticle(
        **{
            **dict(article),
            "entities": Entities.UNSUPPORTED_LANGUAGE,
            "versions": {**article.versions, "tagger": version},
        }
    )


def _tagged(
    article: DedupedArticle, body: str, spans: Iterable[Span], versions: Mapping[str, str], knowledge: Knowledge
) -> TaggedArticle:
    names = find_names(body, spans, knowledge.gazetteer, knowledge.refinements)
    hints = [article.located] if article.located else []
    entities = canonical_entities(body, names, knowledge.gazetteer, knowledge.aliases, hints)
    mentions = tuple(
        Mention(
            text=article.body[name.start : name.end],
            start=name.start,
            end=name.end,
            label=name.label,
            entity_id=entity.id,
        )
        for name, entity in zip(names, entities, strict=True)
    )
    first: dict[str, tuple[Label, Canonical]] = {}
    for name, entity in zip(names, entities, strict=True):
        first.setdefault(entity.id, (name.label, entity))
    # Entities of equal count stay in the order of their first mention.
    ranked = [(*first[id_], count) for id_, count in Counter(entity.id for entity in entities).most_common()]
    wikidata = knowledge.aliases.wikidata

    def of(label: Label) -> tuple[Entity, ...]:
        return tuple(
            Entity(id=entity.id, name=entity.name, count=count, wikidata=wikidata.get(entity.id))
            for its_label, entity, count in ranked
            if its_label is label
        )

    return TaggedArticle(
        **{
            **dict(article),
            "versions": {**article.versions, **versions},
            "people": of(Label.PERSON),
            "organisations": of(Label.ORGANISATION),
            "places": tuple(
                Place(
                    id=entity.id,
                    name=entity.name,
                    count=count,
                    country_iso_code=entity.country,
                    location=entity.location,
                    wikidata=wikidata.get(entity.id),
                )
                for label, entity, count in ranked
                if label is Label.PLACE
            ),
            "mentions": mentions,
        }
    )
