"""The cleaner's settings: variables CLEANER_*, beside the shared ones."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode, SettingsConfigDict

from schemas.article import Quality
from services.cleaner.policy import LONGEST, SHORTEST, Policy
from services.runtime.settings import StageSettings


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class CleanerSettings(StageSettings):
    """How the cleaner shares out its work, and what it refuses."""

    model_config = SettingsConfigDict(env_prefix="CLEANER_")

    child_max_records: int = Field(
        default=8_000,
        ge=0,
        description="Replace the child process after at most so many records. Its memory stayed flat over 20,000 "
        "pages (measured); what a library may hold on to in a year is another matter. 0 never does.",
    )
    child_memory_mb: int = Field(
        default=1024,
        ge=0,
        description="MiB that a child process may add while it works: a page at the size limit needs some 200. A "
        "document that needs more is dead-lettered as `memory`. Held on Linux only; 0 is no limit.",
    )
    refuse: Annotated[frozenset[Quality], BeforeValidator(_split), NoDecode] = Field(
        default=frozenset({Quality.ERROR_PAGE, Quality.COOKIE_WALL}),
        description="Which of too_short, too_long, section_front, login_wall, cookie_wall and error_page go to the "
        "dead letter queue, apart by commas; the others are kept with their name in `pipeline.quality`.",
    )
    shortest_characters: int = Field(
        default=SHORTEST, ge=0, description="A kept text with fewer characters is marked too_short."
    )
    longest_characters: int = Field(
        default=LONGEST, ge=1, description="A kept text with more characters is marked too_long."
    )

    @property
    def policy(self) -> Policy:
        """What `clean_article` needs of these."""
        return Policy(self.refuse, self.shortest_characters, self.longest_characters)
