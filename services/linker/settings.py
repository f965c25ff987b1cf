"""The linker's settings: variables LINKER_*, beside the shared ones."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.runtime.settings import RememberingSettings


class LinkerSettings(RememberingSettings):
    """What makes two articles copies of each other; core.py says where the numbers are from."""

    model_config = SettingsConfigDict(env_prefix="LINKER_")

    batch_records: int = Field(
        default=500, ge=1, description="Records in hand at once; what follows from them is confirmed together."
    )
    threshold: float = Field(
        default=0.35,
        gt=0,
        le=1,
        description="Share of the shorter article's fingerprints that the other one has too, from which the two "
        "are copies of one story.",
    )
    min_shared: int = Field(
        default=2,
        ge=1,
        description="Fingerprints that two articles have in common at the least.",
    )
    most_owners: int = Field(
        default=32,
        ge=2,
        description="Articles remembered for one fingerprint, the earliest: a phrase that more have tells nothing.",
    )
