"""Tagged articles for these tests."""

from __future__ import annotations

from datetime import UTC, datetime

from schemas.article import Paragraph, TaggedArticle


def tagged(name: str, text: str = "A text.", revision: int = 1) -> TaggedArticle:
    return TaggedArticle(
        id=name,
        revision=revision,
        received=datetime(2026, 1, 1, tzinfo=UTC),
        publisher="harbour-post.example",
        language="en",
        language_confidence=1,
        kept=(Paragraph(index=0, text=text),),
    )
