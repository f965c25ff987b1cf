"""`newsflow health`: is the service that runs beside it well; for a container's health check."""

from __future__ import annotations

import http.client
import json

import typer

from services.cli.addresses import errors
from services.runtime.settings import ServiceSettings, load_settings

ANSWER_SECONDS = 5.0


def health() -> None:
    """Ask /healthz at HEALTH_HOST and HEALTH_PORT; exit status 1 when the service is not well."""
    settings = load_settings(ServiceSettings)
    if not settings.health_port:
        errors.print("Set HEALTH_PORT: a port that the service chose by itself is not known here.")
        raise typer.Exit(2)
    # No library that would ask a proxy. To connect to 0.0.0.0 means this host.
    connection = http.client.HTTPConnection(settings.health_host, settings.health_port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/healthz")
        answer = json.load(connection.getresponse())
        name, reason = answer["name"], answer["reason"]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        errors.print(f"No answer at port {settings.health_port}: {type(error).__name__}: {error}", markup=False)
        raise typer.Exit(1) from None
    finally:
        connection.close()
    typer.echo(f"{name}: {reason or 'well'}")
    if not answer["ok"]:
        raise typer.Exit(1)
