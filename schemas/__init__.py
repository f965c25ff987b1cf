"""The contract: topics, the records on them, and the document that Elasticsearch stores."""
