"""The `newsflow` command: each verb is one file beside this one, and only the verb that is called is loaded."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module

import typer

VERBS: dict[str, tuple[str, str]] = {
    "up": ("services.cli.up:up", "Start Kafka, Elasticsearch and the services on this machine, without Docker."),
    "down": ("services.cli.down:down", "Stop what `up` started."),
    "demo": ("services.cli.demo:demo", "The main job from nothing to search hits."),
    "setup": (
        "services.cli.setup:setup",
        "Create topics, keys, index templates and the alias; or Kibana's dashboard.",
    ),
    "produce": ("services.cli.produce:app", "Send articles to Kafka, each one confirmed."),
    "source": ("services.cli.source:app", "Begin a source of your own."),
    "sources": ("services.cli.sources:sources", "How each source does: last article, rate, errors."),
    "gateway": ("services.cli.gateway:gateway", "Take articles over HTTP."),
    "worker": ("services.cli.worker:worker", "Run one process of a stage."),
    "indexer": ("services.cli.worker:indexer", "Run one indexer process."),
    "process": ("services.cli.process:process", "What the pipeline makes of articles; nothing is sent."),
    "search": ("services.cli.search:search", "Search the articles."),
    "index": ("services.cli.index:app", "Does the index fit this version, and the way to another one."),
    "retag": (
        "services.cli.retag:retag",
        "Find the names of stored articles anew, with another model or names of your own.",
    ),
    "history": ("services.cli.history:history", "What an article said before its corrections."),
    "retract": ("services.cli.retract:retract", "Take articles out of the index, and keep them out."),
    "story": ("services.cli.story:story", "The copies of one story, and what differs between them."),
    "status": ("services.cli.status:status", "Lag, counts, dead letters and health."),
    "dlq": ("services.cli.dlq:app", "Look at dead letters, publish them again, or give them up."),
    "boilerplate": (
        "services.cli.boilerplate:app",
        "The lines that a publisher puts under everything: learned, allowed, denied.",
    ),
    "schema": ("services.cli.schema:app", "The contract as JSON Schema and AsyncAPI; check records against it."),
    "health": ("services.cli.health:health", "Is the service beside this one well; for containers."),
    "doctor": ("services.cli.doctor:doctor", "What is missing on this machine, and what to do about it."),
}
"""Verb -> where it is, and its line of help."""


def main() -> None:
    """Run the verb; exit status 0 done, 1 failed, 2 wrong use."""
    app = typer.Typer(
        help="News articles through Kafka: cleaned, without repeats, tagged, searchable in Elasticsearch.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_show_locals=False,
    )
    app.callback()(_options)
    called = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    for verb, (place, line) in VERBS.items():
        found = _load(verb, place) if verb == called else _not_called
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=verb, help=line)
        else:
            app.command(verb, help=None if verb == called else line)(found)
    app()


def _options() -> None:
    """A single verb would else take the place of the whole command."""


def _not_called() -> None:
    """Stands in the list of verbs."""


def _load(verb: str, place: str) -> Callable[..., None] | typer.Typer:
    """The verb's function; a host that has not all libraries has not all verbs."""
    module, name = place.split(":")
    try:
        found: Callable[..., None] | typer.Typer = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in ("services", "schemas"):
            raise
        sys.stderr.write(f"newsflow {verb} needs {error.name}, which is not installed here: see README, Install\n")
        sys.exit(1)
    return found
