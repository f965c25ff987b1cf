"""The topics, in the order in which a record meets them. Set-up creates just these; nothing else names one."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from pydantic import BaseModel

from schemas.article import CleanArticle, DedupedArticle, RawArticle, Retagged, TaggedArticle
from schemas.boilerplate import Line
from schemas.retraction import Retraction
from schemas.source import SourceState
from schemas.story import FingerprintsRecord, LinkRecord, Story

DAY_MS = 24 * 60 * 60 * 1000

MAX_RAW_BYTES = 900_000
"""Largest value taken from `articles-raw`, in bytes: under Kafka's default record limit (1 MiB, checked before
compression by most clients) with room for the key, the headers and the envelope."""

MAX_INNER_BYTES = 4 * 1024 * 1024
"""Largest value between our own stages, in bytes: a raw article at its limit, its dropped paragraphs and some
20,000 mentions. What is larger goes to the dead letter queue by its reason."""


@dataclass(frozen=True)
class Topic:
    """A topic: what is on it, how it is kept, who writes and who reads.

    `partitions` is the unit of scale: as many processes of a stage can share the work. It must never change in
    place, since the key picks the partition. `retention_ms` is in milliseconds, `max_bytes` per record. `consumers`
    are consumer groups; what is read without a group has none.
    """

    name: str
    record: type[BaseModel] | None
    partitions: int
    retention_ms: int
    max_bytes: int
    timestamp_type: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    summary: str
    partition_by: Literal["key", "publisher"] = "key"
    """What picks a record's partition. Where it is the publisher, one process has all articles of a publisher."""
    compacted: bool = False
    """Whether Kafka keeps the last record of each key for good, instead of all records for `retention_ms`."""


def publisher_partition(publisher: str, partitions: int) -> int:
    """The partition that holds a publisher's records on a topic that is partitioned by it."""
    return int.from_bytes(blake2b(publisher.encode(), digest_size=8).digest()) % partitions


ARTICLES_RAW = Topic(
    name="articles-raw",
    record=RawArticle,
    partitions=6,
    retention_ms=7 * DAY_MS,
    max_bytes=1_048_588,
    # Neither retention nor the default revision may hang on a foreign producer's clock.
    timestamp_type="LogAppendTime",
    producers=("producer", "any Kafka client"),
    consumers=("cleaner",),
    summary="Articles as producers send them; open to any Kafka client.",
)
SOURCE_STATES = Topic(
    name="source-states",
    record=SourceState,
    partitions=1,
    retention_ms=-1,
    max_bytes=MAX_RAW_BYTES,
    timestamp_type="LogAppendTime",
    producers=("producer",),
    consumers=(),
    summary="How far a producer is with each part of a source, and how that part does.",
    compacted=True,
)
ARTICLES_CLEAN = Topic(
    name="articles-clean",
    record=CleanArticle,
    partitions=6,
    # What the deduper remembers of its publishers is made again from here: 14 days, and one to be late.
    retention_ms=15 * DAY_MS,
    max_bytes=MAX_INNER_BYTES,
    timestamp_type="LogAppendTime",
    producers=("cleaner",),
    consumers=("deduper",),
    summary="Articles as clean paragraphs, boilerplate dropped.",
    partition_by="publisher",
)
PUBLISHER_BOILERPLATE = Topic(
    name="publisher-boilerplate",
    record=Line,
    # As many as articles-clean: the lines of its publishers are in the same partition.
    partitions=6,
    retention_ms=-1,
    max_bytes=MAX_RAW_BYTES,
    timestamp_type="LogAppendTime",
    producers=("deduper", "newsflow boilerplate"),
    consumers=(),
    summary="Each publisher's lines that are boilerplate, learned or said by a person.",
    partition_by="publisher",
    compacted=True,
)
ARTICLES_DEDUPED = Topic(
    name="articles-deduped",
    record=DedupedArticle,
    partitions=6,
    retention_ms=2 * DAY_MS,
    max_bytes=MAX_INNER_BYTES,
    timestamp_type="LogAppendTime",
    producers=("deduper",),
    consumers=("tagger", "linker"),
    summary="Clean articles without repeated paragraphs.",
)
ARTICLES_FINGERPRINTS = Topic(
    name="articles-fingerprints",
    record=FingerprintsRecord,
    partitions=6,
    # What the linker knows is made again from here: as long as an article can be copied, and a day.
    retention_ms=15 * DAY_MS,
    max_bytes=MAX_RAW_BYTES,
    timestamp_type="LogAppendTime",
    producers=("linker",),
    consumers=("linker",),
    summary="Fingerprints of articles, each in the partition that its value picks.",
)
ARTICLES_OVERLAPS = Topic(
    name="articles-overlaps",
    record=LinkRecord,
    partitions=6,
    retention_ms=15 * DAY_MS,
    max_bytes=MAX_RAW_BYTES,
    timestamp_type="LogAppendTime",
    producers=("linker",),
    consumers=("linker",),
    summary="What articles share with others, and who follows whom into a story.",
)
ARTICLES_STORIES = Topic(
    name="articles-stories",
    record=Story,
    # As many as articles-tagged: one indexer process has both records of an article.
    partitions=6,
    retention_ms=30 * DAY_MS,
    max_bytes=MAX_RAW_BYTES,
    timestamp_type="LogAppendTime",
    producers=("linker",),
    consumers=("indexer",),
    summary="The story of each article, whenever it changes.",
)
ARTICLES_TAGGED = Topic(
    name="articles-tagged",
    record=TaggedArticle,
    partitions=6,
    # The longest: a new index is filled again from here.
    retention_ms=30 * DAY_MS,
    max_bytes=MAX_INNER_BYTES,
    timestamp_type="LogAppendTime",
    producers=("tagger",),
    consumers=("indexer",),
    summary="Articles with their people, organisations and places.",
)
ARTICLES_RETAGGED = Topic(
    name="articles-retagged",
    record=Retagged,
    # As many as articles-tagged: one process has both records of an article.
    partitions=6,
    retention_ms=2 * DAY_MS,
    max_bytes=MAX_INNER_BYTES,
    timestamp_type="LogAppendTime",
    producers=("newsflow retag",),
    consumers=("indexer",),
    summary="Entities of stored articles as a newer model finds them.",
)
ARTICLES_RETRACTED = Topic(
    name="articles-retracted",
    record=Retraction,
    # As many as articles-tagged: one process has both records of an article.
    partitions=6,
    retention_ms=-1,
    max_bytes=MAX_RAW_BYTES,
    timestamp_type="LogAppendTime",
    producers=("cleaner", "newsflow retract"),
    consumers=("indexer",),
    summary="Articles that were taken out, and stay out when the index is filled again.",
    compacted=True,
)
ARTICLES_DLQ = Topic(
    name="articles-dlq",
    record=None,
    partitions=1,
    # Time deletes no dead letter: `newsflow dlq` removes what was published again or given up.
    retention_ms=-1,
    # Room for the headers, which come on top of the largest value.
    max_bytes=MAX_INNER_BYTES + 64 * 1024,
    timestamp_type="LogAppendTime",
    producers=("cleaner", "deduper", "linker", "tagger", "indexer", "newsflow dlq"),
    consumers=("indexer",),
    summary="Dead letters: the original bytes of what failed, with the reason in the headers.",
)

TOPICS = (
    ARTICLES_RAW,
    SOURCE_STATES,
    ARTICLES_CLEAN,
    PUBLISHER_BOILERPLATE,
    ARTICLES_DEDUPED,
    ARTICLES_FINGERPRINTS,
    ARTICLES_OVERLAPS,
    ARTICLES_STORIES,
    ARTICLES_TAGGED,
    ARTICLES_RETAGGED,
    ARTICLES_RETRACTED,
    ARTICLES_DLQ,
)
