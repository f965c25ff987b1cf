"""The producer's settings: variables PRODUCER_*, beside the shared ones."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.runtime.settings import ServiceSettings


class ProducerSettings(ServiceSettings):
    """How patiently articles are sent, how often is written down how far a source is, and when one is silent."""

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
    checkpoint_seconds: float = Field(
        default=1.0,
        gt=0,
        description="How often checkpoints are written: after a kill so much is sent twice, which does no harm.",
    )
    lives_seconds: float = Field(
        default=60.0,
        gt=0,
        description="How often a following producer writes down that it lives, and looks for silent sources.",
    )
    silent_factor: float = Field(
        default=2.0,
        gt=1,
        description="A part is silent when nothing came for so many times its longest silence of the last 28 days.",
    )
    silent_least_seconds: float = Field(
        default=3600.0,
        ge=0,
        description="No part is called silent before this time, however busy it was.",
    )
