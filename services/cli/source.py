"""`newsflow source`: begin a source of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.cli.addresses import errors
from services.producer.new import write_project

app = typer.Typer(help="Begin a source of your own.", no_args_is_help=True)


@app.callback()
def _options() -> None:
    """A single verb would else take the place of the whole command."""


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="As it is to be called on the command line, such as city-council.")],
    folder: Annotated[
        Path | None, typer.Argument(help="Where to; left out: newsflow-source-NAME here.", file_okay=False)
    ] = None,
) -> None:
    """Write a plug-in project that works: a source, its test, and what an installer needs."""
    target = folder or Path(f"newsflow-source-{name}")
    try:
        written = write_project(name, target)
    except (ValueError, OSError) as error:
        errors.print(str(error), markup=False, highlight=False)
        raise typer.Exit(2) from None
    for path in written:
        typer.echo(path)
    errors.print(f"Next: pip install -e {target}; newsflow produce {name} --help; pytest {target}", markup=False)
