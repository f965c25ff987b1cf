"""Imports the indexer beside the stages: they name metrics alike, and share a process only here."""

from __future__ import annotations

from importlib import import_module

import pytest
from prometheus_client import REGISTRY
from prometheus_client.registry import Collector

import_module("services.runtime.stage")  # first, so that its metrics are the ones that are registered

_register = REGISTRY.register


def _register_once(collector: Collector) -> None:
    try:
        _register(collector)
    except ValueError:
        return


with pytest.MonkeyPatch.context() as patch:
    patch.setattr(REGISTRY, "register", _register_once)
    import_module("services.indexer.app")
