"""Send articles to Newsflow, JSON lines on standard input: confluent-kafka 2.16.1.

Stops at the first article that Kafka does not confirm, with the reason and exit status 1.
"""

from __future__ import annotations

import json
import sys
from os import environ

from confluent_kafka import KafkaError, KafkaException, Message, Producer


def confirmed(error: KafkaError | None, _: Message) -> None:
    """Called once for each article; what is raised here comes out of `flush`."""
    if error is not None:
        raise KafkaException(error)


def main() -> None:
    """Send every line and wait for each confirmation."""
    key = None
    try:
        producer = Producer(
            {
                "bootstrap.servers": environ["KAFKA_BOOTSTRAP_SERVERS"],
                "acks": "all",
                "enable.idempotence": True,
                "delivery.timeout.ms": environ.get("DELIVERY_TIMEOUT_MS", "60000"),
                # Nothing to wait for: each article is sent alone.
                "linger.ms": 0,
                # As the Java client does: an article is in the same partition whichever client sends it.
                "partitioner": "murmur2_random",
            }
        )
        for line in sys.stdin.buffer:
            article = json.loads(line)
            key = article.get("id") or article.get("url")
            producer.produce(
                environ.get("ARTICLES_RAW_TOPIC", "articles-raw"),
                key=key,
                value=line.strip(),
                on_delivery=confirmed,
            )
            producer.flush()
    except (KafkaException, ValueError) as error:
        sys.exit(f"not confirmed: {key}: {error}")


if __name__ == "__main__":
    main()
