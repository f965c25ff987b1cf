#!/usr/bin/env bash
# Sends articles to Newsflow, JSON lines on standard input: kcat, and jq for the key.
# What Kafka does not confirm is said with the reason, and the exit status is 1.
set -o pipefail

# A tab parts key and value: JSON has none inside of texts, and neither an id nor a URL may have one.
# murmur2 as the Java client does: an article is in the same partition whichever client sends it.
jq --raw-input --raw-output '. as $line | fromjson | "\(.id // .url // "")\t\($line)"' |
  kcat -P -b "${KAFKA_BOOTSTRAP_SERVERS:?}" -t "${ARTICLES_RAW_TOPIC:-articles-raw}" -K $'\t' -Z \
    -X acks=all -X enable.idempotence=true -X partitioner=murmur2_random \
    -X delivery.timeout.ms="${DELIVERY_TIMEOUT_MS:-60000}" ||
  exit 1
