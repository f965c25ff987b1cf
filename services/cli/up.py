"""`newsflow up`: Kafka, Elasticsearch and the services on this machine, without Docker or an installed Java."""

import contextlib
import sys
from typing import Annotated

import typer
from rich.console import Console

from services.embedded.home import HomeError
from services.embedded.jars import JarError
from services.embedded.run_file import BusyError
from services.embedded.servers import ServerError
from services.embedded.settings import EmbeddedSettings
from services.embedded.stack import StackError
from services.embedded.stack import up as bring_up
from services.embedded.supervision import SupervisorError

FAILURES = (BusyError, HomeError, JarError, ServerError, StackError, SupervisorError, OSError)


def up(
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
    servers_only: Annotated[
        bool, typer.Option("--servers-only", help="Kafka and Elasticsearch, without set-up and services.")
    ] = False,
) -> None:
    """Start Kafka, Elasticsearch and the services here, and return when all are healthy. Data is kept.

    The first time, it fetches 94 MB of jars into the cache folder.
    """
    console = Console(stderr=True)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            run = bring_up(EmbeddedSettings(), console, services=not servers_only)
    except FAILURES as error:
        typer.echo(f"newsflow up failed: {error}", err=True)
        raise typer.Exit(1) from None
    if json_:
        typer.echo(run.model_dump_json(include={"kafka", "elasticsearch", "folder", "created", "services"}))
        return
    typer.echo(f"Kafka          {run.kafka}")
    typer.echo(f"Elasticsearch  {run.elasticsearch}")
    for service in run.services:
        typer.echo(f"{service.name:14} {service.health}/healthz")
    typer.echo(f"Data and logs  {run.folder}")
    typer.echo("Next: newsflow produce seeds · newsflow search QUERY · newsflow status · newsflow down")
