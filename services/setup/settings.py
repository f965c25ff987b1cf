"""Settings of set-up."""

from __future__ import annotations

from pydantic import Field, SecretStr

from services.runtime.settings import ServiceSettings, shared


class SetupSettings(ServiceSettings):
    """Where topics and templates go. Waiting is bounded, so that a one-shot container ends."""

    elasticsearch_url: str = Field(min_length=1, validation_alias=shared("ELASTICSEARCH_URL"))
    elasticsearch_api_key: SecretStr | None = Field(default=None, validation_alias=shared("ELASTICSEARCH_API_KEY"))
    setup_wait_seconds: float = Field(
        default=120.0, gt=0, description="How long to wait for Kafka and Elasticsearch to answer."
    )
    topic_replication_factor: int = Field(
        default=-1, description="Copies of each topic; -1 leaves it to the broker's default."
    )
