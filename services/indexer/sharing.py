"""Items shared out into requests of a bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def in_requests(
    items: Iterable[Item], size_of: Callable[[Item], int], most_bytes: int, most: int | None = None
) -> Iterator[list[Item]]:
    """The items in requests of at most so many bytes, and so many items, in order; a larger one alone."""
    request: list[Item] = []
    size = 0
    for item in items:
        more = size_of(item)
        if request and (size + more > most_bytes or len(request) == most):
            yield request
            request, size = [], 0
        request.append(item)
        size += more
    if request:
        yield request
