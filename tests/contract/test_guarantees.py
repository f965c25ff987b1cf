"""docs/guarantees.md against the tests: each file and test that it names exists."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "guarantees.md"

FILE = re.compile(r"(?:(?:tests/)?[a-z]+/)*test_(?:[a-z0-9_]+|\{[a-z_,]+\})\.py")
NAME = re.compile(r"\btest_[a-z0-9_]+(?!\.py)\b(?!\.)")


def spelled_out(file: str) -> list[str]:
    """`unit/cli/test_{search,story}.py` as the files that it stands for."""
    parts = re.split(r"\{(.*?)\}", file)
    return ["".join(words) for words in product(*(part.split(",") for part in parts))]


def test_every_named_test_exists() -> None:
    known = {
        name for file in TESTS.rglob("test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text("utf-8"))
    }
    missing = []
    folder = ""
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ") and "|---" not in line]
    assert len(rows) > 100
    for row in rows:
        for cell in row.split("|")[2:4]:
            for file in FILE.findall(cell):
                for name in spelled_out(file.removeprefix("tests/")):
                    folder = name.rpartition("/")[0] or folder
                    path = name if "/" in name else f"{folder}/{name}"
                    missing += [] if (TESTS / path).is_file() else [f"{path} in: {row}"]
            named = NAME.findall(FILE.sub(" ", cell))
            missing += [f"{name} in: {row}" for name in named if name not in known]
    assert missing == []
