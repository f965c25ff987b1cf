"""A new plug-in project: a source that works, its test, and what an installer needs."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from services.producer.plugins import source_names

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def write_project(name: str, folder: Path) -> list[Path]:
    """Write the project of a source called `name` into `folder`; returns the files.

    Raises `ValueError` for a name that no source can have or one that is taken, and for a folder that holds
    anything: nothing is ever overwritten.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name: lower-case letters, digits and hyphens, such as city-council")
    if name in source_names():
        raise ValueError(f"a source called {name} is installed already")
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty")
    module = name.replace("-", "_")
    class_ = "".join(word.capitalize() for word in name.split("-"))
    targets = {
        "pyproject.toml.txt": "pyproject.toml",
        "source.py.txt": f"newsflow_source_{module}.py",
        "test_source.py.txt": f"test_newsflow_source_{module}.py",
        "README.md.txt": "README.md",
    }
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for template, target in targets.items():
        text = (files("services.producer") / "template" / template).read_text(encoding="utf-8")
        path = folder / target
        path.write_text(text.format(name=name, module=module, Class=class_), encoding="utf-8")
        written.append(path)
    return written
