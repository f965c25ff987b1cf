"""The producer: sources of articles, and their confirmed delivery to Kafka."""
