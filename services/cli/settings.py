"""Settings of the verbs that ask Elasticsearch."""

from __future__ import annotations

from pydantic import Field, SecretStr

from services.runtime.settings import ServiceSettings, shared


class AskSettings(ServiceSettings):
    """Where to ask, with which key."""

    elasticsearch_url: str = Field(min_length=1, validation_alias=shared("ELASTICSEARCH_URL"))
    elasticsearch_api_key: SecretStr | None = Field(default=None, validation_alias=shared("ELASTICSEARCH_API_KEY"))
