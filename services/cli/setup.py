"""`newsflow setup`: topics, index templates and the alias."""

from __future__ import annotations

import typer
from elasticsearch import ApiError, TransportError
from kafka.errors import KafkaError

from services.cli.addresses import errors, settings_of
from services.setup.app import set_up
from services.setup.settings import SetupSettings


def setup() -> None:
    """Create what is missing in Kafka and Elasticsearch; run again, it changes nothing."""
    settings = settings_of(SetupSettings)
    try:
        created = set_up(settings)
    except (KafkaError, ApiError, TransportError, ValueError, TimeoutError) as error:
        errors.print(f"Set-up failed: {error}", markup=False)
        raise typer.Exit(1) from None
    for kind, names in created.items():
        typer.echo(f"{kind}: {', '.join(names) + ' created' if names else 'all there'}")
