"""An index as the port describes it, in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from services.indexer.index import Outcome, Stored, Verdict, Write


class MemoryIndex:
    """An index as the port describes it. `fault` may answer in its place, or raise."""

    def __init__(self) -> None:
        self.documents: dict[str, tuple[int, dict[str, Any]]] = {}
        self.requests: list[list[str]] = []
        self.fault: Callable[[list[str]], dict[str, Outcome]] = lambda names: {}
        self.missing: list[list[str]] = []

    def write(self, documents: Sequence[Write]) -> list[Outcome]:
        names = [document.id for document in documents]
        self.requests.append(names)
        assert len(self.requests) < 1_000, "no test needs so many: this would go on for ever"
        told = self.fault(names)
        return [told.get(document.id) or self._take(document) for document in documents]

    def read(self, ids: Sequence[str]) -> dict[str, Stored]:
        return {name: Stored(*self.documents[name]) for name in ids if name in self.documents}

    def without(self, fields: Iterable[str]) -> list[str]:
        return self.missing.pop(0) if self.missing else []

    def _take(self, document: Write) -> Outcome:
        if document.id in self.documents and self.documents[document.id][0] > document.revision:
            return Outcome(Verdict.SUPERSEDED)
        if document.source is None:
            self.documents.pop(document.id, None)
        else:
            self.documents[document.id] = (document.revision, json.loads(document.source))
        return Outcome(Verdict.WRITTEN)
