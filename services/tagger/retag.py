"""Newer entities for articles that are in the index: which ones need them, and the records that bring them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.article import DedupedArticle, Paragraph, Retagged, TaggedArticle, digest_of_body

SOURCE_FIELDS = ("id", "revision", "event.created", "publisher.name", "language", "located", "body")
"""Of a document, what `stored_article` needs."""


def stale(models: Mapping[str, str], tagger: str) -> dict[str, Any]:
    """An Elasticsearch query for the documents whose entities are not those of these versions.

    `models` is the version of the model of each language, the first one's first, which also reads what is in no
    known language (services/tagger/core.py); `tagger` is the tagger's own. Documents in other languages are stale
    when the tagger was another.
    """
    first = next(iter(models))
    by_model = {
        version: _in_language(language, *(["und"] if language == first else []))
        for language, version in models.items()
    }
    current = [
        {"bool": {"filter": [languages, _stamped("model", version), _stamped("tagger", tagger)]}}
        for version, languages in by_model.items()
    ]
    passed = {"term": {"pipeline.entities": "unsupported_language"}}
    others = {"bool": {"filter": [passed, _stamped("tagger", tagger)], "must_not": list(by_model.values())}}
    return {"bool": {"must_not": [*current, others]}}


def _stamped(name: str, version: str) -> dict[str, Any]:
    return {"term": {"pipeline.versions": f"{name} {version}"}}


def _in_language(*subtags: str) -> dict[str, Any]:
    exact = [{"term": {"language": {"value": one, "case_insensitive": True}}} for one in subtags]
    longer = [{"prefix": {"language": {"value": f"{one}-", "case_insensitive": True}}} for one in subtags]
    return {"bool": {"should": [*exact, *longer], "minimum_should_match": 1}}


def stored_article(source: Mapping[str, Any]) -> DedupedArticle:
    """A stored document as the tagger takes an article: its text is one paragraph."""
    return DedupedArticle(
        id=source["id"],
        revision=source["revision"],
        received=source["event"]["created"],
        publisher=source["publisher"]["name"],
        language=source["language"],
        language_confidence=1,
        located=source.get("located"),
        kept=(Paragraph(index=0, text=source["body"]),),
    )


def retagged(article: TaggedArticle) -> Retagged:
    """The record that brings a stored article the entities that it was tagged with."""
    return Retagged(
        id=article.id,
        revision=article.revision,
        body_digest=digest_of_body(article.body),
        versions=article.versions,
        people=article.people,
        organisations=article.organisations,
        places=article.places,
        entities=article.entities,
        mentions=article.mentions,
    )
