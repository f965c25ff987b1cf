"""The real Kafka and the real Elasticsearch as local processes: no Docker, no installed Java."""
