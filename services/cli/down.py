"""`newsflow down`: stop what `newsflow up` started."""

from typing import Annotated

import typer
from rich.console import Console

from services.cli.up import FAILURES
from services.embedded.settings import EmbeddedSettings
from services.embedded.stack import down as take_down


def down(
    wipe: Annotated[bool, typer.Option("--wipe", help="Delete all data and logs of the stack, too.")] = False,
) -> None:
    """Stop the services, then Elasticsearch and Kafka. Their data is kept for the next `newsflow up`."""
    settings = EmbeddedSettings()
    try:
        stopped = take_down(settings, Console(stderr=True), wipe=wipe)
    except FAILURES as error:
        typer.echo(f"newsflow down failed: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo("Stopped" if stopped else "Nothing was up", err=True)
    if wipe:
        typer.echo(f"Deleted the data in {settings.run_folder}", err=True)
