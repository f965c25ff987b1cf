"""Settings of the verbs that ask Elasticsearch."""

from __future__ import annotations

from services.runtime.elasticsearch import ElasticsearchSettings


class AskSettings(ElasticsearchSettings):
    """Where to ask, with which key."""
