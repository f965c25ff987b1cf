"""The indexer's settings: variables INDEXER_*, beside the shared ones."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.runtime.elasticsearch import ElasticsearchSettings


class IndexerSettings(ElasticsearchSettings):
    """Where documents go, and how many at once."""

    model_config = SettingsConfigDict(env_prefix="INDEXER_")

    bulk_records: int = Field(default=500, ge=1, description="Documents in one bulk request, at the most.")
    bulk_bytes: int = Field(
        default=8 * 1024 * 1024,
        ge=1024,
        description="Bytes in one bulk request, at the most; Elasticsearch's own limit is 100 MB, and beyond "
        "5-15 MB a larger request is no faster.",
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
        default=15.0, gt=0, description="Longest pause between two tries while Elasticsearch takes nothing."
    )
    deliver_limit_seconds: float = Field(
        default=300.0, gt=0, description="When Kafka takes no dead letter for this long, the process exits."
    )
