"""`newsflow doctor`: what is missing on this machine, and what to do about it."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from services.embedded.diagnosis import diagnose
from services.embedded.settings import EmbeddedSettings


def doctor(
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Check this machine for the embedded stack. Exit status 1 if something must be mended first."""
    checks = []
    for check in diagnose(EmbeddedSettings()):
        checks.append(check)
        if not json_:
            typer.echo(f"{'ok' if check.ok else 'PROBLEM':8} {check.name:14} {check.found}")
            if not check.ok:
                typer.echo(f"{'':8} {'':14} {check.advice}")
    failed = any(check.fatal and not check.ok for check in checks)
    if json_:
        typer.echo(json.dumps({"ok": not failed, "checks": [asdict(check) for check in checks]}))
    if failed:
        raise typer.Exit(1)
