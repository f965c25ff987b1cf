"""The deduper's settings: variables DEDUPER_*, beside the shared ones."""

from __future__ import annotations

from pydantic_settings import SettingsConfigDict

from services.runtime.settings import StageSettings


class DeduperSettings(StageSettings):
    """How the deduper shares out its work."""

    model_config = SettingsConfigDict(env_prefix="DEDUPER_")
