"""`newsflow setup`: topics, security, index templates and the alias; with --kibana, what Kibana shows."""

from __future__ import annotations

from typing import Annotated

import typer
from elasticsearch import ApiError, TransportError
from kafka.errors import KafkaError

from services.cli.addresses import errors, settings_of
from services.setup.app import set_up
from services.setup.kibana import import_objects
from services.setup.security import check_passwords
from services.setup.settings import SetupSettings


def setup(
    kibana: Annotated[
        bool, typer.Option("--kibana", help="Only the data view and the dashboard, in Kibana at KIBANA_URL.")
    ] = False,
) -> None:
    """Create what is missing in Kafka and Elasticsearch; run again, it changes nothing."""
    settings = settings_of(SetupSettings)
    try:
        if kibana:
            check_passwords(settings)
            created = {"kibana": import_objects(settings)}
        else:
            created = set_up(settings)
    except (KafkaError, ApiError, TransportError, ValueError, OSError) as error:
        errors.print(f"Set-up failed: {error}", markup=False)
        raise typer.Exit(1) from None
    for kind, names in created.items():
        typer.echo(f"{kind}: {', '.join(names) + ' set up' if names else 'all there'}")
