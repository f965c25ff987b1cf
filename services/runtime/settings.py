"""Settings that more than one service reads. Shared names carry no prefix; a service's own carry its name.

Addresses have no default: a service that is not told where its Kafka is stops at once and says so.
"""

from __future__ import annotations

import math
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from pydantic import AliasChoices, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

EMPTY_IS_NONE = BeforeValidator(lambda value: value or None)
"""For a setting that may be left out: a compose file passes a variable that nobody set as an empty one."""


def shared(name: str) -> AliasChoices:
    """Read this field from the variable `name`, whatever prefix the service's own settings carry."""
    return AliasChoices(name.lower(), name)


class ServiceSettings(BaseSettings):
    """What every service needs: where Kafka is, how to log, where to answer health checks."""

    model_config = SettingsConfigDict(frozen=True, populate_by_name=True, extra="ignore")

    kafka_bootstrap_servers: Annotated[str, Field(min_length=1)] = Field(
        validation_alias=shared("KAFKA_BOOTSTRAP_SERVERS"),
        description="host:port of Kafka, several apart by commas.",
    )
    newsflow_prefix: str = Field(
        default="",
        pattern=r"^([a-z0-9][a-z0-9-]*-)?$",
        validation_alias=shared("NEWSFLOW_PREFIX"),
        description="Goes before every topic, consumer group and index, so that several pipelines can share "
        "one Kafka and one Elasticsearch. Empty or ending in a hyphen.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        default="INFO", validation_alias=shared("LOG_LEVEL")
    )
    log_format: str = Field(
        default="text",
        pattern="^(text|json)$",
        validation_alias=shared("LOG_FORMAT"),
        description="text for people, json (one object a line) for log collectors.",
    )
    health_host: str = Field(
        default="127.0.0.1",
        validation_alias=shared("HEALTH_HOST"),
        description="Where /healthz and /metrics listen; loopback unless a container says otherwise.",
    )
    health_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        validation_alias=shared("HEALTH_PORT"),
        description="Port of /healthz and /metrics; 0 picks a free one and logs it.",
    )
    session_timeout_seconds: float = Field(
        default=12.0,
        ge=6,
        validation_alias=shared("KAFKA_SESSION_TIMEOUT_SECONDS"),
        description="After this long without a heartbeat a dead process's partitions go to another one. The "
        "client's own 45-60 s would stop the whole group that long.",
    )
    max_poll_interval_seconds: float = Field(
        default=300.0,
        ge=6,
        validation_alias=shared("KAFKA_MAX_POLL_INTERVAL_SECONDS"),
        description="An indexer or linker that does not poll Kafka for this long loses its partitions to another "
        "process. Longer than any pause between two polls; `session_timeout_seconds` notices dead processes.",
    )
    bootstrap_timeout_seconds: float = Field(
        default=30.0,
        gt=0,
        validation_alias=shared("KAFKA_BOOTSTRAP_TIMEOUT_SECONDS"),
        description="A command that publishes fails when no bootstrap server has answered for this long. Longer "
        "than the restart of a broker.",
    )
    stall_limit_seconds: float = Field(
        default=120.0,
        gt=0,
        validation_alias=shared("STALL_LIMIT_SECONDS"),
        description="Records wait and the committed offset has not moved for this long: health goes red, and a "
        "quarter of it later the process exits for its restart. Longer than any healthy batch.",
    )
    dlq_alarm_records: int = Field(
        default=1_000,
        ge=0,
        validation_alias=shared("DLQ_ALARM_RECORDS"),
        description="With more dead letters than this `newsflow status` and the services' logs say so.",
    )
    dlq_limit_records: int = Field(
        default=1_000_000,
        ge=0,
        validation_alias=shared("DLQ_LIMIT_RECORDS"),
        description="With so many records in the dead letter queue a service stops in place of writing another: "
        "when everything fails, the queue would else fill Kafka's disk. 0 is no limit.",
    )

    def name(self, plain: str) -> str:
        """A topic, group or index name with this pipeline's prefix."""
        return f"{self.newsflow_prefix}{plain}"

    @property
    def servers(self) -> list[str]:
        """Kafka's addresses as a list."""
        return [server.strip() for server in self.kafka_bootstrap_servers.split(",") if server.strip()]


class StageSettings(ServiceSettings):
    """How a stage shares out and bounds its work; each knob's variable carries the stage's name."""

    processes: int = Field(
        default=1,
        ge=1,
        description="Child processes that do the work. More only where one core is not enough.",
    )
    batch_records: int = Field(
        default=64,
        ge=1,
        description="Records in hand at once. All are delivered before any is committed; more means more work "
        "done twice after a crash, and at most this many times 900 kB of memory.",
    )
    batch_wait_seconds: float = Field(
        default=0.1, gt=0, description="How long to wait for a batch to fill: the latency when little comes in."
    )
    chunk_records: int = Field(default=16, ge=1, description="Records given to a child process at once.")
    document_limit_seconds: float = Field(
        default=30.0,
        gt=0,
        description="A document that takes longer is dead-lettered as `timeout` and its process replaced. A "
        "normal one takes 0.05 s; the slowest at the size limit about 5 s.",
    )
    producer_timeout_seconds: float = Field(
        default=30.0,
        gt=0,
        description="A send without an answer for this long has failed and is tried again.",
    )
    deliver_limit_seconds: float = Field(
        default=300.0,
        gt=0,
        description="When Kafka takes neither the result nor the dead letter for this long, the process exits "
        "without having committed anything.",
    )
    child_max_records: int = Field(
        default=0,
        ge=0,
        description="Replace a child process after at most so many records, rounded up to whole chunks; earlier "
        "where chunks are not full. 0 never does.",
    )
    child_memory_mb: int = Field(
        default=0,
        ge=0,
        description="MiB that a child process may add to what it has once its step is loaded. A document that "
        "needs more is dead-lettered as `memory` and its process replaced. Held on Linux only; 0 is no limit.",
    )

    @property
    def child_chunks(self) -> int:
        """After how many chunks a child process is replaced; 0 for never."""
        return math.ceil(self.child_max_records / self.chunk_records)


class RememberingSettings(StageSettings):
    """For a stage that remembers earlier records (services/runtime/remembering.py)."""

    state_folder: Annotated[Path | None, EMPTY_IS_NONE] = Field(
        default=None,
        validation_alias=shared("STATE_FOLDER"),
        description="Where to keep what is remembered, so that a restart need not read it again from Kafka. "
        "Several processes may share a folder. Left out: a new one in the system's folder for what is temporary.",
    )
    state_cache_mb: int = Field(
        default=32,
        ge=1,
        description="MiB of memory for what was lately read from the state on disk, of all partitions.",
    )
    window_days: float = Field(
        default=14.0,
        gt=0,
        le=14.0,
        description="Days that articles may lie apart, by their own times, and still be compared. At most those "
        "for which Kafka keeps the records that the memory is made from, less one.",
    )
    recovery_answer_seconds: float = Field(
        default=60.0,
        gt=0,
        description="A read of earlier records from Kafka that brings nothing for this long has failed.",
    )

    @property
    def window(self) -> timedelta:
        """How far apart articles may lie and still be compared."""
        return timedelta(days=self.window_days)


AnySettings = TypeVar("AnySettings", bound=BaseSettings)


def load_settings(settings: type[AnySettings], **given: Any) -> AnySettings:
    """The settings from `given` and the environment, or exit status 2 with a line for each wrong variable."""
    try:
        return settings(**given)
    except ValidationError as error:
        _refuse(settings, error)


def _refuse(settings: type[BaseSettings], error: ValidationError) -> NoReturn:
    prefix = settings.model_config.get("env_prefix", "")
    for problem in error.errors():
        field = str(problem["loc"][0])
        known = settings.model_fields.get(field)
        variable = field.upper() if known is None or known.validation_alias else f"{prefix}{field.upper()}"
        sys.stderr.write(f"setting {variable}: {problem['msg']}\n")
    sys.exit(2)
