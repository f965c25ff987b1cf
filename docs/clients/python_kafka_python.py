"""Send articles to Newsflow, JSON lines on standard input: kafka-python 3.0.12.

Stops at the first article that Kafka does not confirm, with the reason and exit status 1.
"""

from __future__ import annotations

import json
import sys
from os import environ

from kafka import KafkaProducer
from kafka.errors import KafkaError


def main() -> None:
    """Send every line and wait for each confirmation."""
    timeout_ms = int(environ.get("DELIVERY_TIMEOUT_MS", "60000"))
    key = None
    try:
        producer = KafkaProducer(
            bootstrap_servers=environ["KAFKA_BOOTSTRAP_SERVERS"].split(","),
            acks="all",
            enable_idempotence=True,
            bootstrap_timeout_ms=timeout_ms,
            max_block_ms=timeout_ms,
            delivery_timeout_ms=timeout_ms,
            request_timeout_ms=timeout_ms // 2,
        )
        for line in sys.stdin.buffer:
            article = json.loads(line)
            key = article.get("id") or article.get("url")
            sent = producer.send(
                environ.get("ARTICLES_RAW_TOPIC", "articles-raw"), key=key and key.encode(), value=line.strip()
            )
            sent.get()
    except (KafkaError, ValueError) as error:
        sys.exit(f"not confirmed: {key}: {error}")


if __name__ == "__main__":
    main()
