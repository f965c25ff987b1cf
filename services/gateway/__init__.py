"""The gateway: articles over HTTP, for those who don't speak Kafka."""
