"""Where a verb finds Kafka and Elasticsearch: its own environment, else the run file of the embedded stack."""

from __future__ import annotations

from typing import Any, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console

from services.embedded.run_file import read_run_file
from services.runtime.settings import ServiceSettings, load_settings

AnySettings = TypeVar("AnySettings", bound=ServiceSettings)

errors = Console(stderr=True)
"""Where people are told; standard output is for results."""


def settings_of(settings: type[AnySettings]) -> AnySettings:
    """The settings from the environment, with the addresses of the running embedded stack where it has none.

    Exit status 2 when there is neither, or when another setting is wrong.
    """
    try:
        return settings()
    except ValidationError as error:
        missing = {str(each["loc"][0]).lower() for each in error.errors() if each["type"] == "missing"}
    run = read_run_file()
    if run is None:
        if missing & {"kafka_bootstrap_servers", "elasticsearch_url"}:
            errors.print(
                "No Kafka and Elasticsearch known: start the embedded ones with [bold]newsflow up[/bold], or set "
                "KAFKA_BOOTSTRAP_SERVERS and ELASTICSEARCH_URL."
            )
            raise typer.Exit(2)
        return load_settings(settings)
    found = {"kafka_bootstrap_servers": run.kafka, "elasticsearch_url": run.elasticsearch}
    given: dict[str, Any] = {name: value for name, value in found.items() if name in missing}
    return load_settings(settings, **given)
