"""The texts of the benches: news articles of the evaluation data beside the checkout, or the sample articles."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from services.producer.core import Found
from services.producer.sources.files import read_files

ROOT = Path(__file__).parents[2]
EVALUATION = ROOT.parent / "shared" / "eval"
CORPUS = EVALUATION / "corpus" / "c50.jsonl.gz"


def news() -> list[str]:
    """The bodies of real news articles; none where there is no evaluation data."""
    if not CORPUS.exists():
        return []
    with gzip.open(CORPUS, "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def samples() -> list[str]:
    """The bodies of the sample articles that are plain text."""
    found = [each.article.body for each in read_files([ROOT / "seeds"], "p", "p") if isinstance(each, Found)]
    return [body for body in found if body]
