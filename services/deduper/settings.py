"""The deduper's settings: variables DEDUPER_*, beside the shared ones."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.runtime.settings import RememberingSettings


class DeduperSettings(RememberingSettings):
    """How the deduper compares and shares out its work; its core.py says where the numbers are from."""

    model_config = SettingsConfigDict(env_prefix="DEDUPER_")

    shingle_words: int = Field(default=2, ge=1, description="Words in a shingle.")
    threshold: float = Field(
        default=0.5, gt=0, le=1, description="Jaccard similarity from which two paragraphs are near-duplicates."
    )
    min_words: int = Field(default=6, ge=1, description="A paragraph with fewer words always stays.")
    near_words: int = Field(
        default=12,
        ge=1,
        description="The same for near-duplicates: in a short one another word is another statement.",
    )
    boilerplate_articles: int = Field(
        default=3,
        ge=2,
        description="A publisher's line in so many articles that have nothing else in common is boilerplate.",
    )
    boilerplate_likeness: float = Field(
        default=0.3,
        gt=0,
        le=1,
        description="Two articles with this share of their names in common are of one story and count once.",
    )
    boilerplate_words: int = Field(
        default=4, ge=1, description="A line with fewer words is never learned: a name, a sub-heading."
    )
