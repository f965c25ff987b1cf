"""Imported by the fork server (services/runtime/processes.py), as the one thing that it does before it forks."""

from __future__ import annotations

from services.runtime.step import preload

preload()
