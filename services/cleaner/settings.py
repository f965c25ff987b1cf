"""The cleaner's settings: variables CLEANER_*, beside the shared ones."""

from __future__ import annotations

from pydantic_settings import SettingsConfigDict

from services.runtime.settings import StageSettings


class CleanerSettings(StageSettings):
    """How the cleaner shares out its work. HTML extraction grows its process by about 1 MB a page (measured)."""

    model_config = SettingsConfigDict(env_prefix="CLEANER_")

    child_max_chunks: int = 500
