"""From a tagged article to the document that Elasticsearch stores."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from schemas.article import PLAIN_SPACES, Retagged, TaggedArticle, digest_of_body
from schemas.document import ArticleDocument, Changes, Drops, Event, Paragraphs, Pipeline, Publisher, Url
from schemas.story import Story

STORY_FIELDS = frozenset({"dedup", "story_id", "duplicate_of", "originality", "seen_first"})
"""Fields of a document's `pipeline` that come from its story."""


def to_document(article: TaggedArticle, ingested: datetime, story: Story | None = None) -> ArticleDocument:
    """The document of `article`, with its `story` if that was told."""
    drops = Counter(dropped.reason.value for dropped in article.dropped)
    kept = {paragraph.index for paragraph in article.kept}
    # A paragraph may be changed twice in the same way, and dropped later as a repeat.
    changes = {(change.index, change.reason.value) for change in article.changed if change.index in kept}
    return ArticleDocument(
        id=article.id,
        timestamp=article.published or article.received,
        published=article.published,
        modified=article.modified,
        event=Event(created=article.received, ingested=ingested),
        revision=article.revision,
        url=Url(full=article.url, domain=urlsplit(article.url).hostname or "") if article.url else None,
        headline=article.headline,
        summary=article.summary,
        # The standard tokenizer takes a narrow no-break space for part of a word: "sûr !" would not be found.
        body=article.body.translate(PLAIN_SPACES),
        byline=article.byline,
        language=article.language,
        publisher=Publisher(name=article.publisher),
        producer=article.producer,
        people=article.people,
        organisations=article.organisations,
        places=article.places,
        mentions=article.mentions,
        subjects=article.subjects,
        copyright_notice=article.copyright_notice,
        section=article.section,
        located=article.located,
        agency=article.agency,
        extra=article.extra,
        pipeline=Pipeline(
            versions=tuple(f"{name} {version}" for name, version in sorted(article.versions.items())),
            flags=article.flags,
            entities=article.entities.value,
            quality=tuple(each.value for each in article.quality),
            language_stated=article.language_stated,
            language_confidence=article.language_confidence,
            paragraphs=Paragraphs(
                total=len(article.kept) + len(article.dropped),
                kept=len(article.kept),
                dropped=len(article.dropped),
                dropped_by=Drops(**drops),
                changed=len({index for index, _ in changes}),
                changed_by=Changes(**Counter(reason for _, reason in changes)),
            ),
            **of_story(article.id, story),
        ),
    )


def of_story(article: str, story: Story | None) -> dict[str, Any]:
    """The fields of a document's `pipeline` that its story gives it."""
    if story is None:
        return {"dedup": "partial", "story_id": article}
    return {
        "dedup": "linked",
        "story_id": story.story_id,
        "duplicate_of": story.duplicate_of,
        "originality": story.originality,
        "seen_first": story.paragraphs,
    }


def with_entities(source: dict[str, Any], retagged: Retagged) -> dict[str, Any] | None:
    """A stored document with other entities; None where it is not of the text that these were found in."""
    if source["revision"] != retagged.revision or digest_of_body(source["body"]) != retagged.body_digest:
        return None
    found = retagged.model_dump(
        mode="json", exclude_none=True, include={"people", "organisations", "places", "mentions"}
    )
    pipeline: dict[str, Any] = source["pipeline"]
    kept = [each for each in pipeline["versions"] if each.split(" ")[0] not in OF_ENTITIES]
    new = [f"{name} {version}" for name, version in retagged.versions.items()]
    changed = {"versions": sorted([*kept, *new]), "entities": retagged.entities.value}
    return source | found | {"pipeline": pipeline | changed}


OF_ENTITIES = frozenset({"model", "tagger"})
"""Names in a document's `pipeline.versions` that tell how its entities were found."""


def with_story(source: dict[str, Any], story: Story) -> dict[str, Any] | None:
    """A stored document with its story as it is now; None where it has it already."""
    fields = {name: value for name, value in of_story(story.id, story).items() if value is not None}
    fields["seen_first"] = [each.model_dump(mode="json") for each in story.paragraphs]
    pipeline: dict[str, Any] = source["pipeline"]
    others = {name: value for name, value in pipeline.items() if name not in STORY_FIELDS}
    changed = others | fields
    return None if changed == pipeline else source | {"pipeline": changed}
