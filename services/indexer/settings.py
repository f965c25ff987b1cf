"""The indexer's settings: variables INDEXER_*, beside the shared ones."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.runtime.elasticsearch import ElasticsearchSettings
from services.runtime.settings import EMPTY_IS_NONE


class IndexerSettings(ElasticsearchSettings):
    """Where documents go, how many at once, and what is kept of them for how long."""

    model_config = SettingsConfigDict(env_prefix="INDEXER_")

    bulk_records: int = Field(default=500, ge=1, description="Documents in one bulk request, at the most.")
    bulk_bytes: int = Field(
        default=4 * 1024 * 1024,
        ge=1024,
        description="Bytes in one bulk request, at the most, and twice as many while there is a standby index. 500 "
        "usual articles have less; with the largest ones a process needs some 16 times as much memory for each "
        "request in flight (`bulk_in_flight`). Elasticsearch's own limit is 100 MB.",
    )
    bulk_in_flight: int = Field(
        default=4,
        ge=1,
        le=16,
        description="Bulk requests on their way at once. An index of one shard takes each in one thread, so that "
        "one alone leaves cores idle; twice so many times `bulk_bytes` are in hand.",
    )
    bulk_wait_seconds: float = Field(
        default=0.5,
        ge=0,
        description="How long to wait for a bulk to fill: each costs the index a write to disk, whatever its size. "
        "Below the second after which a document can be found.",
    )
    bulk_timeout_seconds: float = Field(
        default=30.0,
        gt=0,
        description="A bulk without an answer for this long is sent again; it may have been applied, which the "
        "ids and versions make harmless. Well below Kafka's 300 s between polls.",
    )
    backoff_max_seconds: float = Field(
        default=3.0,
        gt=0,
        description="Longest pause between two tries while Elasticsearch takes nothing; half of it to all of it is "
        "waited, by chance. Short, since an Elasticsearch that is back gets nothing for so long.",
    )
    deliver_limit_seconds: float = Field(
        default=300.0, gt=0, description="When Kafka takes no dead letter for this long, the process exits."
    )
    history_versions: int = Field(
        default=10,
        ge=0,
        le=1000,
        description="Earlier versions that are kept with a corrected article; 0 for none. A live blog may have "
        "hundreds.",
    )
    history_bytes: int = Field(
        default=1024 * 1024,
        ge=0,
        description="Bytes of the earlier versions of an article together, at the most: the oldest ones go first. "
        "About as much as the longest article has itself.",
    )
    retention_days: Annotated[float | None, EMPTY_IS_NONE] = Field(
        default=None,
        gt=0,
        description="Articles that were published longer ago, or first seen where that is not known, are deleted "
        "and come in no more. Left out: all are kept.",
    )
    retention_look_seconds: float = Field(
        default=3600.0, gt=0, description="How often to look for documents that are past their retention."
    )

    @property
    def retention(self) -> timedelta | None:
        """How long articles are kept; None for ever."""
        return None if self.retention_days is None else timedelta(days=self.retention_days)
