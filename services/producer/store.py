"""The states of sources as they are kept: on the compacted topic `source-states`."""

from __future__ import annotations

from schemas.reading import Refused, read_record
from schemas.source import SourceState
from schemas.topics import SOURCE_STATES
from services.runtime.reading import read_to_end
from services.runtime.settings import ServiceSettings


def read_states(settings: ServiceSettings) -> list[SourceState]:
    """The state of every part of every source, the last one of each, by source and part.

    Raises `LookupError` where the topic is missing, `TimeoutError` for a silent broker, and `KafkaError`.
    """
    found: dict[bytes, SourceState] = {}
    for record in read_to_end(settings, settings.name(SOURCE_STATES.name)):
        try:
            found[record.key or b""] = read_record(SOURCE_STATES, record.value)
        except Refused:
            found.pop(record.key or b"", None)  # a tombstone, or what an older version cannot read
    return sorted(found.values(), key=lambda state: (state.source, state.part))
