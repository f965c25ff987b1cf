"""The one way in which records are sent by kafka-python: each confirmed by every replica, none twice."""

from __future__ import annotations

from typing import Any

from kafka import KafkaProducer

from services.runtime.settings import ServiceSettings


def confirming_producer(settings: ServiceSettings, largest: int, **options: Any) -> KafkaProducer:
    """A producer for values of up to `largest` bytes; `options` are the client's own."""
    return KafkaProducer(
        bootstrap_servers=settings.servers,
        # Said aloud, so that a setting at odds with it is an error and not a silent weakening.
        enable_idempotence=True,
        acks="all",
        max_request_size=largest + 65_536,  # room for the key and the headers
        # The client's default grows to 30 s: on a broker that is back it would sit still that long.
        reconnect_backoff_max_ms=1_000,
        **options,
    )
