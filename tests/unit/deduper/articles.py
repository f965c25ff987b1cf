"""Clean articles made of given paragraphs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from schemas.article import CleanArticle, Dropped, Paragraph


def article(paragraphs: Sequence[str], dropped: tuple[Dropped, ...] = ()) -> CleanArticle:
    """The paragraphs kept in order, around the indexes of what is dropped already."""
    taken = {one.index for one in dropped}
    free = (index for index in range(len(paragraphs) + len(dropped)) if index not in taken)
    return CleanArticle(
        id="0" * 32,
        revision=7,
        received=datetime(2026, 1, 31, tzinfo=UTC),
        publisher="example.org",
        headline="Ministers agree",
        language="en",
        language_confidence=1.0,
        flags=("published_without_zone",),
        versions={"cleaner": "1"},
        kept=tuple(Paragraph(index=index, text=text) for index, text in zip(free, paragraphs, strict=False)),
        dropped=dropped,
    )
