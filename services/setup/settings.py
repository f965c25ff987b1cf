"""Settings of set-up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from elasticsearch import Elasticsearch
from pydantic import Field, SecretStr, ValidationInfo, field_validator

from services.runtime.elasticsearch import ElasticsearchSettings
from services.runtime.settings import EMPTY_IS_NONE, shared

SUPERUSER = "elastic"
"""The user that Elasticsearch brings along and that may do everything."""


class SetupSettings(ElasticsearchSettings):
    """Where topics, templates and keys go. Waiting is bounded, so that a one-shot container ends."""

    setup_wait_seconds: float = Field(
        default=120.0, gt=0, description="How long to wait for Kafka, Elasticsearch and Kibana to answer."
    )
    topic_replication_factor: int = Field(
        default=-1, description="Copies of each topic; -1 leaves it to the broker's default."
    )
    elastic_password: Annotated[SecretStr | None, EMPTY_IS_NONE] = Field(
        default=None,
        description="Password of the user `elastic`. With it set-up makes the roles and keys of the services; "
        "without it, security is left as it is. Not together with a key.",
    )
    kibana_password: Annotated[SecretStr | None, EMPTY_IS_NONE] = Field(
        default=None, description="What the password of `kibana_system` is set to; left out: it stays."
    )
    kibana_url: Annotated[str | None, EMPTY_IS_NONE] = Field(
        default=None, description="Where `newsflow setup --kibana` finds Kibana."
    )
    keys_dir: Annotated[Path | None, EMPTY_IS_NONE] = Field(
        default=None,
        validation_alias=shared("NEWSFLOW_KEYS_DIR"),
        description="Folder for the keys: indexer/api_key and search/api_key. Left out: no keys are made.",
    )
    bind_address: str = Field(
        default="127.0.0.1",
        description="The address on which Elasticsearch and Kibana are published; unless it is loopback, the "
        "passwords that Newsflow is shipped with are refused.",
    )

    @field_validator("elastic_password")
    @classmethod
    def _password_or_key(cls, password: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if password and (info.data.get("elasticsearch_api_key") or info.data.get("elasticsearch_api_key_file")):
            raise ValueError("set this or a key of Elasticsearch, not both")
        return password

    def connect(self, **options: Any) -> Elasticsearch:
        """As the user `elastic` where its password is set, else as every service."""
        if self.elastic_password is None:
            return super().connect(**options)
        login = (SUPERUSER, self.elastic_password.get_secret_value())
        return Elasticsearch(self.elasticsearch_url, basic_auth=login, **options)
