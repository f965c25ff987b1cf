"""The indexer: documents into Elasticsearch, with a verdict for every item."""
