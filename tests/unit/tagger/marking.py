"""Articles written with their spans: `[Kim|person] met [the UN|organisation]`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from schemas.article import DedupedArticle, Label, Paragraph, TaggedArticle
from services.tagger.core import Knowledge, tag_articles
from services.tagger.gazetteer import NO_GAZETTEER
from services.tagger.names import Span

_MARK = re.compile(r"\[([^|\]]*)\|(\w+)\]")


NOTHING_KNOWN = Knowledge(NO_GAZETTEER)


def article(body: str, language: str = "en") -> DedupedArticle:
    """An article with this body; its paragraphs are apart by blank lines."""
    return DedupedArticle(
        id="0" * 32,
        revision=1,
        received=datetime(2026, 1, 31, tzinfo=UTC),
        publisher="example.org",
        language=language,
        language_confidence=1,
        versions={"cleaner": "1"},
        kept=tuple(Paragraph(index=i, text=text) for i, text in enumerate(body.split("\n\n"))),
    )


@dataclass(frozen=True)
class Fake:
    """A model that finds what it is told to."""

    find_spans: Callable[[Sequence[str]], list[list[Span]]]
    version: str = "fake-1"


def finds(spans: Sequence[Span]) -> dict[str, Fake]:
    """An English model that finds these spans in every text."""
    return {"en": Fake(lambda texts: [list(spans) for _ in texts])}


def tag(body: str, spans: Sequence[Span]) -> TaggedArticle:
    """One English article, tagged by a model that finds these spans."""
    (tagged,) = tag_articles([article(body)], finds(spans), NOTHING_KNOWN)
    return tagged


def marked_spans(marked: str) -> tuple[str, list[Span]]:
    """The text without its marks, and what is marked."""
    body, spans, end = "", [], 0
    for mark in _MARK.finditer(marked):
        body += marked[end : mark.start()]
        spans.append(Span(len(body), len(body) + len(mark[1]), Label(mark[2])))
        body += mark[1]
        end = mark.end()
    return body + marked[end:], spans


def tag_marked(marked: str) -> TaggedArticle:
    """One English article, tagged by a model that finds what is marked in it."""
    return tag(*marked_spans(marked))


def names(tagged: TaggedArticle) -> dict[str, list[tuple[str, int]]]:
    """What was found, label -> names with their counts, without the labels of which there is nothing."""
    found = {
        "people": [(person.name, person.count) for person in tagged.people],
        "organisations": [(organisation.name, organisation.count) for organisation in tagged.organisations],
        "places": [(place.name, place.count) for place in tagged.places],
    }
    return {label: entities for label, entities in found.items() if entities}
