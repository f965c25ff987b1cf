"""Documents of articles that were published longer ago than they are kept are deleted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from elasticsearch import ApiError, Elasticsearch, TransportError
from prometheus_client import Counter

from services.indexer.index import DocumentIndex, Forbidden, TooLarge, Unavailable, Verdict, Write

log = structlog.get_logger(__name__)

EXPIRED = Counter("newsflow_expired_documents", "Documents deleted, since they were past their retention")

PAGE = 1000
"""Documents looked for and deleted at once; only their ids are read."""


class Retention:
    """Deletes what is past its retention from the index, from its standby, and from the stories."""

    def __init__(
        self, client: Elasticsearch, alias: str, index: DocumentIndex, stories: DocumentIndex, retention: timedelta
    ) -> None:
        self._client, self._alias = client, alias
        self._index, self._stories = index, stories
        self._retention = retention

    def start(self, every_seconds: float, mine: Callable[[], bool]) -> None:
        """Look from now on, in a daemon thread, whenever it is this process's turn."""

        def run() -> None:
            while True:
                if mine():
                    self._sweep_once()
                time.sleep(every_seconds)

        threading.Thread(target=run, name="retention", daemon=True).start()

    def _sweep_once(self) -> None:
        try:
            deleted = self.sweep(datetime.now(UTC))
        except (ApiError, TransportError, Unavailable, Forbidden, TooLarge) as error:
            log.warning("old articles could not be deleted, next time again", error=f"{error}"[:500])
            return
        if deleted:
            log.info("old articles deleted", documents=deleted)

    def sweep(self, now: datetime) -> int:
        """Delete what is past its retention; returns how many documents. Raises what client and port raise."""
        before = (now - self._retention).isoformat()
        deleted = 0
        after: list[Any] | None = None
        while True:
            page = self._client.search(
                index=self._alias,
                query={"range": {"@timestamp": {"lt": before}}},
                sort=[{"@timestamp": "asc"}, {"id": "asc"}],
                search_after=after,
                size=PAGE,
                source=False,
                version=True,
                track_total_hits=False,
            )["hits"]["hits"]
            if not page:
                return deleted
            # With its version: an article that was corrected meanwhile may have another date now.
            outcomes = self._index.write([Write(hit["_id"], hit["_version"], None) for hit in page])
            gone = [hit["_id"] for hit, outcome in zip(page, outcomes, strict=True) if _is_gone(outcome.verdict)]
            if gone:
                # Whatever was told of them up to now: versions of stories are times, in ms.
                told = int(now.timestamp() * 1000)
                self._stories.write([Write(name, told, None) for name in gone])
            EXPIRED.inc(len(gone))
            deleted += len(gone)
            after = page[-1]["sort"]


def _is_gone(verdict: Verdict) -> bool:
    return verdict is Verdict.WRITTEN
