"""The one way in which records are sent by kafka-python: each confirmed by every replica, none twice."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from kafka import KafkaProducer

from services.runtime.settings import ServiceSettings


def confirming_producer(settings: ServiceSettings, largest: int, **options: Any) -> KafkaProducer:
    """A producer for values of up to `largest` bytes; `options` are the client's own."""
    options.setdefault("bootstrap_timeout_ms", int(settings.bootstrap_timeout_seconds * 1000))
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


ABANDON_SECONDS = 5.0
"""For the client's own thread to notice that it is given up."""


def abandon(producer: KafkaProducer) -> None:
    """Be without a client that did not get an answer in time; what it still holds has failed, and is its caller's.

    kafka-python 3.0.12 drops its producer id when a batch that was sent passes `delivery_timeout_ms`, and asks for
    no other: from then on it sends nothing and fails nothing, with the broker long back, and its own `close` raises
    before it comes to close anything (measured: 100 of 100 futures still open 16 s after the broker was back).
    """
    producer._sender.force_close()  # noqa: SLF001 - the public way does not end it, see above
    producer._sender.join(ABANDON_SECONDS)  # noqa: SLF001
    with suppress(Exception):  # it is given up in any case
        producer.close(timeout=0)
