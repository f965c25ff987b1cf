"""Plug-ins as an installer leaves them: a distribution's metadata beside its module, on the path."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

GOOD = '''
from pydantic import BaseModel

from services.producer.source import RawArticle, Run


class Gazette(BaseModel):
    """The gazette's notices.

    One a day.
    """

    def articles(self, run: Run):
        yield RawArticle(publisher="gazette.example", id="1", body="A notice.")
'''


class SitePackages:
    """A folder on the path, and what is installed in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.modules: set[str] = set()
        self.tried: list[str] = []
        """The modules that were imported, those that failed among them."""

    def install(
        self,
        distribution: str,
        code: str = GOOD,
        points: Mapping[str, str] | None = None,
        module: str | None = None,
    ) -> None:
        """A distribution with one module; `points` are its entry points, name -> class."""
        module = module or distribution.replace("-", "_")
        (self.folder / f"{module}.py").write_text(code, encoding="utf-8")
        self.modules.add(module)
        about = self.folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n", "utf-8")
        lines = [f"{name} = {module}:{class_}" for name, class_ in (points or {distribution: "Gazette"}).items()]
        (about / "entry_points.txt").write_text("\n".join(["[newsflow.sources]", *lines]), "utf-8")
        importlib.invalidate_caches()

    def loaded(self, module: str) -> bool:
        return module in sys.modules


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SitePackages]:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    packages = SitePackages(folder)
    load = EntryPoint.load

    def noted(self: EntryPoint) -> Any:
        if self.module in packages.modules:
            packages.tried.append(self.module)
        return load(self)

    monkeypatch.setattr(EntryPoint, "load", noted)
    yield packages
    for module in packages.modules:
        sys.modules.pop(module, None)
