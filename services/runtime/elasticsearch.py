"""Where Elasticsearch is and with which key it is asked: the settings that every user of it shares."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from services.runtime.search_client import SearchClient
from services.runtime.settings import EMPTY_IS_NONE, ServiceSettings, shared

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch


class ElasticsearchSettings(ServiceSettings):
    """The address, and the key or the file that holds it; neither where Elasticsearch asks for none."""

    # A wrong value may be a key in the wrong variable.
    model_config = SettingsConfigDict(hide_input_in_errors=True)

    elasticsearch_url: str = Field(min_length=1, validation_alias=shared("ELASTICSEARCH_URL"))
    elasticsearch_api_key: Annotated[SecretStr | None, EMPTY_IS_NONE] = Field(
        default=None,
        validation_alias=shared("ELASTICSEARCH_API_KEY"),
        description="The key in its `encoded` form, as Elasticsearch gives it.",
    )
    elasticsearch_api_key_file: Annotated[Path | None, EMPTY_IS_NONE] = Field(
        default=None,
        validation_alias=shared("ELASTICSEARCH_API_KEY_FILE"),
        description="A file that holds the key and nothing else; not together with ELASTICSEARCH_API_KEY. It is "
        "read at the start: a process whose key was replaced finds the new one when it starts again.",
    )

    @field_validator("elasticsearch_api_key_file")
    @classmethod
    def _one_readable_key(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        if file is not None:
            if info.data.get("elasticsearch_api_key") is not None:
                raise ValueError("set this or ELASTICSEARCH_API_KEY, not both")
            _read_key(file)
        return file

    def connect(self, **options: Any) -> Elasticsearch:
        """A client for this Elasticsearch, with the key; nothing is sent yet. `options` are the client's own.

        Raises `ValueError` when the file of the key can no longer be read.
        """
        from elasticsearch import Elasticsearch  # noqa: PLC0415 - 0.3 s that a command that only searches has not

        return Elasticsearch(self.elasticsearch_url, api_key=self._key(), **options)

    def search_client(self) -> SearchClient:
        """The same for reading alone: it takes no time to import. Raises as `connect`."""
        return SearchClient(self.elasticsearch_url, self._key())

    def _key(self) -> str | None:
        if self.elasticsearch_api_key_file:
            return _read_key(self.elasticsearch_api_key_file)
        return self.elasticsearch_api_key.get_secret_value() if self.elasticsearch_api_key else None


def _read_key(file: Path) -> str:
    try:
        key = file.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror}); newsflow setup writes the keys") from None
    except UnicodeDecodeError:
        raise ValueError(f"{file} holds no key") from None
    if not key:
        raise ValueError(f"{file} is empty; newsflow setup writes the keys")
    return key
