"""Metrics that more than one service counts."""

from __future__ import annotations

from prometheus_client import Counter

RECORDS = Counter("newsflow_records", "Records taken from the source topic", ["stage"])
DEAD_LETTERS = Counter("newsflow_dead_letters", "Records delivered to the dead letter queue", ["stage", "reason"])
