"""Where files go."""

from pathlib import Path

import pytest

from services.embedded.settings import PROJECT_ROOT, EmbeddedSettings


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NEWSFLOW_CACHE_DIR", "XDG_CACHE_HOME", "NEWSFLOW_RUN_DIR"):
        monkeypatch.delenv(name, raising=False)


def test_the_cache_is_ours_then_the_desktops_then_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert EmbeddedSettings().cache_folder == Path.home() / ".cache" / "newsflow"
    monkeypatch.setenv("XDG_CACHE_HOME", "/desktop")
    assert EmbeddedSettings().cache_folder == Path("/desktop/newsflow")
    monkeypatch.setenv("NEWSFLOW_CACHE_DIR", "/ours")
    assert EmbeddedSettings().cache_folder == Path("/ours")


def test_a_stack_belongs_to_its_checkout_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert EmbeddedSettings().run_folder == PROJECT_ROOT / ".newsflow"
    monkeypatch.setenv("NEWSFLOW_RUN_DIR", "/tmp/elsewhere")
    assert EmbeddedSettings().run_folder == Path("/tmp/elsewhere")
