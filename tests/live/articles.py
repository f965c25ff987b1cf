"""Tagged articles and stories, as the stages before the indexer send them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from schemas.article import Paragraph, TaggedArticle
from schemas.reading import write_record
from schemas.story import Story
from schemas.topics import ARTICLES_STORIES, ARTICLES_TAGGED
from tests.live.harness import Pipeline

RECEIVED = datetime(2026, 1, 1, tzinfo=UTC)


def new_ids(count: int) -> list[str]:
    """Article ids that no other test has."""
    return [uuid.uuid4().hex for _ in range(count)]


def tagged(
    name: str, text: str = "A text.", revision: int = 1, language: str = "en", publisher: str = "p.example"
) -> TaggedArticle:
    return TaggedArticle(
        id=name,
        revision=revision,
        received=RECEIVED,
        publisher=publisher,
        language=language,
        language_confidence=1,
        kept=(Paragraph(index=0, text=text),),
    )


def send_tagged(pipeline: Pipeline, articles: Sequence[TaggedArticle]) -> list[str]:
    """Returns the `topic/partition/offset` of each."""
    return pipeline.send(
        [write_record(article) for article in articles],
        topic=ARTICLES_TAGGED.name,
        keys=[article.id.encode() for article in articles],
    )


def send_stories(pipeline: Pipeline, *stories: Story) -> None:
    pipeline.send(
        [story.model_dump_json().encode() for story in stories],
        topic=ARTICLES_STORIES.name,
        keys=[story.id.encode() for story in stories],
    )


def indexer_lag(pipeline: Pipeline) -> int:
    """Tagged articles that the indexer has not committed."""
    return pipeline.lags(["indexer"])[f"{ARTICLES_TAGGED.name} indexer"]
