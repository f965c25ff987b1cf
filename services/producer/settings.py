"""The producer's settings: variables PRODUCER_*, beside the shared ones."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.runtime.settings import ServiceSettings


class ProducerSettings(ServiceSettings):
    """How patiently articles are sent."""

    model_config = SettingsConfigDict(env_prefix="PRODUCER_")

    delivery_timeout_seconds: float = Field(
        default=60.0,
        gt=0,
        description="How long one article may take to be confirmed; after that it is reported as not confirmed.",
    )
    in_flight_records: int = Field(
        default=500,
        ge=1,
        description="Records sent and not yet confirmed, at the most; each may have 900 kB.",
    )
