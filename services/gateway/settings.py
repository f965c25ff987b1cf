"""The gateway's settings: variables GATEWAY_*, beside the shared ones."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from services.runtime.settings import EMPTY_IS_NONE, ServiceSettings


class GatewaySettings(ServiceSettings):
    """Where the gateway listens, for whom, and how much it takes at once."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_")

    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Where it listens. Anywhere but on loopback it needs GATEWAY_API_KEYS_FILE.",
    )
    port: int = Field(default=8090, ge=0, le=65535, description="Its port; 0 picks a free one and logs it.")
    api_keys_file: Annotated[Path | None, EMPTY_IS_NONE] = Field(
        default=None,
        description="Who may send: a line `NAME KEY [PUBLISHER,...]` for each key. Read again when it changes.",
    )
    body_bytes: int = Field(
        default=8 * 1024 * 1024,
        ge=1024,
        description="Largest body of a request, in bytes; a compressed one may have as many when decompressed.",
    )
    body_records: int = Field(
        default=1_000, ge=1, description="Most records, so lines, in one request: all must be confirmed in time."
    )
    body_seconds: float = Field(
        default=30.0, gt=0, description="How long a request's body may take to come in; then it is refused."
    )
    confirm_seconds: float = Field(
        default=20.0,
        ge=1,
        description="How long Kafka may take to confirm a request's records; after that the sender is told to try "
        "again. Below the 30 to 60 s after which most HTTP clients and proxies give up.",
    )
    in_flight_bytes: int = Field(
        default=64 * 1024 * 1024,
        ge=2048,
        description="Bytes of bodies that are coming in and of records that Kafka has not confirmed yet, at the "
        "most; more is refused for the moment. Memory use may be several times as much.",
    )
    in_flight_records: int = Field(
        default=5_000, ge=1, description="Records that Kafka has not confirmed yet, at the most."
    )
    connections: int = Field(
        default=512,
        ge=1,
        description="Open connections, at the most; one more is told to come again. Each takes a file "
        "descriptor, of which a process often may have 1,024.",
    )

    @field_validator("in_flight_bytes")
    @classmethod
    def _room_for_a_body(cls, value: int, info: ValidationInfo) -> int:
        """Else the largest body would be refused for ever."""
        body = info.data.get("body_bytes", 0)
        if value < 2 * body:
            raise ValueError(f"must be at least twice GATEWAY_BODY_BYTES, so {2 * body}")
        return value

    @field_validator("in_flight_records")
    @classmethod
    def _room_for_a_request(cls, value: int, info: ValidationInfo) -> int:
        """Else the longest request would be refused for ever."""
        most = info.data.get("body_records", 0)
        if value < most:
            raise ValueError(f"must be at least GATEWAY_BODY_RECORDS, so {most}")
        return value

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"
