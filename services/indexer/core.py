"""From a tagged article to the document that Elasticsearch stores, and what becomes of the one that is there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import TypeAdapter

from schemas.article import PLAIN_SPACES, Entity, Place, Retagged, TaggedArticle, digest_of_body
from schemas.document import (
    RESERVED,
    ArticleDocument,
    Changes,
    Drops,
    EarlierVersion,
    Event,
    Paragraphs,
    Pipeline,
    Publisher,
    Retracted,
    RetractedDocument,
    Url,
)
from schemas.retraction import Retraction
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
        headline=_suggestible(article.headline) if article.headline else None,
        summary=article.summary,
        # The standard tokenizer takes a narrow no-break space for part of a word: "sûr !" would not be found.
        body=_with_plain_spaces(article.body),
        byline=article.byline,
        language=article.language,
        publisher=Publisher(name=article.publisher),
        producer=article.producer,
        people=tuple(map(_named, article.people)),
        organisations=tuple(map(_named, article.organisations)),
        places=tuple(map(_named, article.places)),
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


def _with_plain_spaces(text: str) -> str:
    return text if text.isascii() else text.translate(PLAIN_SPACES)


NO_RESERVED = dict.fromkeys(map(ord, RESERVED), " ")

AnyEntity = TypeVar("AnyEntity", Entity, Place)


def _suggestible(text: str) -> str:
    """The text without what an index refuses in suggestions; a name of the user's own table may have it."""
    return text if text.isprintable() else text.translate(NO_RESERVED)


def _named(entity: AnyEntity) -> AnyEntity:
    name = _suggestible(entity.name)
    return entity if name == entity.name else entity.model_copy(update={"name": name})


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
    if (
        "retracted" in source
        or source["revision"] != retagged.revision
        or digest_of_body(source["body"]) != retagged.body_digest
    ):
        return None
    kinds = ("people", "organisations", "places")
    named = retagged.model_copy(update={kind: tuple(map(_named, getattr(retagged, kind))) for kind in kinds})
    found = named.model_dump(mode="json", exclude_none=True, include={*kinds, "mentions"})
    pipeline: dict[str, Any] = source["pipeline"]
    kept = [each for each in pipeline["versions"] if each.split(" ")[0] not in OF_ENTITIES]
    new = [f"{name} {version}" for name, version in retagged.versions.items()]
    changed = {"versions": sorted([*kept, *new]), "entities": retagged.entities.value}
    return source | found | {"pipeline": pipeline | changed}


OF_ENTITIES = frozenset({"model", "tagger"})
"""Names in a document's `pipeline.versions` that tell how its entities were found."""


def with_story(source: dict[str, Any], story: Story) -> dict[str, Any] | None:
    """A stored document with its story as it is now; None where it has it already, or the article was taken out."""
    if "retracted" in source:
        return None
    fields = {name: value for name, value in of_story(story.id, story).items() if value is not None}
    fields["seen_first"] = [each.model_dump(mode="json") for each in story.paragraphs]
    pipeline: dict[str, Any] = source["pipeline"]
    others = {name: value for name, value in pipeline.items() if name not in STORY_FIELDS}
    changed = others | fields
    return None if changed == pipeline else source | {"pipeline": changed}


# ---------------------------------------------------------------- corrections


@dataclass(frozen=True)
class Keep:
    """How many earlier versions of an article are kept, and how many bytes of JSON they may have together."""

    versions: int
    bytes: int


@dataclass(frozen=True)
class Corrected:
    """The document that is to be there after a correction, as JSON, and whether it is the incoming one."""

    revision: int
    source: bytes
    incoming: bool


def correct(present: Mapping[str, Any] | None, incoming: Sequence[ArticleDocument], keep: Keep) -> Corrected | None:
    """What is to be stored for an article, of which `present` is there and `incoming` came in, in this order.

    The highest revision stands, of that the last record; the others are its history, in whatever order they came.
    None where nothing changes: all of it is there, or the article was taken out and stays out.
    """
    coming = [each for each in sorted(incoming, key=lambda each: each.revision) if _may_come(each, present)]
    if not coming:
        return None
    newest, cleared = coming[-1], _cleared(present)
    if present is not None and "retracted" in present:
        present = None
    if present is None and len(coming) == 1:
        return _as_it_came(newest, (), cleared)
    earlier = [*present.get("history", ()), _version(present)] if present else []
    versions = {each["revision"]: each for each in [*earlier, *map(_version_of, coming)]}
    history = _history(versions.pop(max(versions)), versions.values(), keep)
    if present is None or present["revision"] <= newest.revision:
        return _as_it_came(newest, history, cleared)
    if history == list(present.get("history", ())):
        return None
    source = json.dumps({**present, "history": history}, ensure_ascii=False).encode()
    return Corrected(present["revision"], source, incoming=False)


def _as_it_came(
    document: ArticleDocument, history: Sequence[Mapping[str, Any]], cleared: datetime | None
) -> Corrected:
    if history or cleared:
        earlier = tuple(EarlierVersion(**each) for each in history)
        document = document.model_copy(update={"history": earlier, "cleared": cleared})
    return Corrected(
        document.revision, document.model_dump_json(by_alias=True, exclude_none=True).encode(), incoming=True
    )


def _may_come(document: ArticleDocument, present: Mapping[str, Any] | None) -> bool:
    """Whether a revision comes in, by when Kafka had it: what was taken out by then stays out."""
    retracted = present.get("retracted", {}) if present else {}
    if retracted.get("hold"):
        return False
    cleared = _cleared(present)
    return cleared is None or document.event.created > cleared


def _cleared(present: Mapping[str, Any] | None) -> datetime | None:
    """Up to when all that Kafka had of an article was taken out; None where nothing was."""
    if present is None:
        return None
    if "retracted" in present:
        withdrawn = present["retracted"].get("withdrawn")
        return None if withdrawn else datetime.fromisoformat(present["retracted"]["time"])
    return datetime.fromisoformat(present["cleared"]) if present.get("cleared") else None


KEPT_FIELDS = ("headline", "summary", "body", "byline", "published", "modified")
"""Of a document, what its history keeps beside its address."""


def _version(source: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a stored document, in JSON's own types."""
    version = {name: source.get(name) for name in KEPT_FIELDS}
    version |= {"url": (source.get("url") or {}).get("full"), "received": source["event"]["created"]}
    return {"revision": source["revision"]} | {name: value for name, value in version.items() if value is not None}


def _version_of(document: ArticleDocument) -> dict[str, Any]:
    """What is kept of a document that came in, in JSON's own types."""
    return EarlierVersion(
        revision=document.revision,
        received=document.event.created,
        headline=document.headline,
        summary=document.summary,
        body=document.body,
        byline=document.byline,
        url=document.url.full if document.url else None,
        published=document.published,
        modified=document.modified,
    ).model_dump(mode="json", exclude_none=True)


def _history(top: dict[str, Any], versions: Iterable[dict[str, Any]], keep: Keep) -> list[dict[str, Any]]:
    """The versions before `top`, the newest first, without those that say no other thing than the next one.

    Cut where it is too long, the oldest first, so that it does not hang on the order in which they came in.
    """
    older = sorted(versions, key=_revision_of, reverse=True)
    different = [each for newer, each in pairwise([top, *older]) if _said(newer) != _said(each)]
    kept: list[dict[str, Any]] = []
    left = keep.bytes
    for each in different[: keep.versions]:
        left -= len(json.dumps(each, ensure_ascii=False).encode())
        if left < 0:
            break
        kept.append(each)
    return kept


def _revision_of(version: Mapping[str, Any]) -> int:
    revision: int = version["revision"]
    return revision


def _said(version: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in version.items() if name not in ("revision", "received")}


def is_expired(document: ArticleDocument, now: datetime, retention: timedelta | None) -> bool:
    """Whether a document was published, or else first seen, longer ago than documents are kept."""
    return retention is not None and document.timestamp < now - retention


# ---------------------------------------------------------------- retractions


def retract(present: Mapping[str, Any] | None, retraction: Retraction) -> dict[str, Any] | None:
    """The document that takes the place of `present` when its article is taken out; None where nothing changes.

    A producer takes out what Kafka had up to its tombstone: a revision that came later stays, without the history
    from before. A person holds back whatever comes. What is left has the revision of what was there, so that a
    late copy can be told by its time alone, and none of the two index copies takes one for newer.
    """
    left = present["retracted"] if present and "retracted" in present else None
    if retraction.withdrawn:
        if present is None or left is None or not left.get("hold"):
            return None
        return _left(present, retraction.id, Retracted(**left | {"hold": False, "withdrawn": True}))
    if left is not None and _is_known(left, retraction):
        return None
    if left is None and present is not None and not retraction.hold and _received(present) > retraction.time:
        return _clear(present, retraction.time)
    told = Retracted(time=retraction.time, by=retraction.by, reason=retraction.reason, hold=retraction.hold)
    return _left(present, retraction.id, told)


def _is_known(left: Mapping[str, Any], retraction: Retraction) -> bool:
    """Whether what is left says this already, or more: it was delivered again, or a person's word stands."""
    held = left.get("hold", False)
    if held != retraction.hold and not left.get("withdrawn"):
        return bool(held)
    return datetime.fromisoformat(left["time"]) >= retraction.time


def _clear(present: Mapping[str, Any], time: datetime) -> dict[str, Any] | None:
    """The document without the history up to `time`, which does not come back."""
    before = _cleared(present)
    if before is not None and before >= time:
        return None
    history = [each for each in present.get("history", ()) if datetime.fromisoformat(each["received"]) > time]
    return {**present, "history": history, "cleared": TIME.dump_python(time, mode="json")}


TIME = TypeAdapter(datetime)


def _left(present: Mapping[str, Any] | None, name: str, retracted: Retracted) -> dict[str, Any]:
    revision = present["revision"] if present else 0
    document = RetractedDocument(id=name, revision=revision, retracted=retracted)
    return document.model_dump(mode="json", exclude_none=True)


def _received(source: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(source["event"]["created"])
