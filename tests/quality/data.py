"""The public evaluation sets, which are not part of the repository: where they lie, and where they come from.

`NEWSFLOW_EVAL_DATA` names their folder, by default `../shared/eval` beside the checkout. What is missing is not
measured: `make quality` says so at its end, and fails where the folder was named or in CI.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "NEWSFLOW_EVAL_DATA"
FOLDER = Path(os.environ.get(VARIABLE) or Path(__file__).parents[3] / "shared" / "eval")

SOURCES = {
    "ner": "UNER English-PUD and English-EWT (CC BY-SA), WNUT17 (CC BY), a JSON object a line: id, text, ents",
    "extract": "300 pages of trafilatura's evaluation set (Apache-2.0) with evaldata.json, as tar.gz",
    "corpus": "Reuters C50 (UCI, CC BY 4.0), a JSON object a line: id, author, text",
    "dedup": "streams made from Reuters C50: repeats inside articles, edits, copies, publishers' own lines",
}
"""Folder of a set -> what it is, and from whom."""

NOT_MEASURED = "not measured: "


def data_file(name: str) -> Path:
    """The file of a set; where it is missing, the test is skipped with a reason, or fails if it must be there."""
    path = FOLDER / name
    if path.exists():
        return path
    reason = f"{NOT_MEASURED}{name} ({SOURCES[name.partition('/')[0]]})"
    if os.environ.get(VARIABLE) or os.environ.get("CI") == "true":
        pytest.fail(f"{reason} is not in {FOLDER}")
    pytest.skip(reason)


def rows(name: str) -> Iterator[dict[str, Any]]:
    """The JSON objects of a file, compressed or not."""
    path = data_file(name)
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)
