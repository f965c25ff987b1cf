"""Files of data: rules and walls, each of a model, read so that what is wrong in one is named."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources.abc import Traversable
from typing import TypeVar

from pydantic import BaseModel, ValidationError

Content = TypeVar("Content", bound=BaseModel)


def read_toml(file: Traversable, model: type[Content], broken: type[ValueError]) -> Content:
    """What the file says.

    Raises:
        broken: it is no TOML, or not of the model; the text names the file and the first entry that is wrong.
    """
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise broken(f"{file.name}: {error}") from error
    try:
        return model.model_validate(content)
    except ValidationError as error:
        wrong = error.errors()[0]
        raise broken(f"{file.name}, {_where(content, wrong['loc'])}: {wrong['msg']}") from error


def _where(content: Mapping[str, object], location: tuple[int | str, ...]) -> str:
    """The place of an error in a file, with the rule's name for its number."""
    place = [str(part) for part in location]
    if len(location) > 1 and isinstance(location[1], int):
        entries = content.get(place[0])
        entry = entries[location[1]] if isinstance(entries, list) else None
        if isinstance(entry, dict) and isinstance(entry.get("name"), str):
            place[:2] = [entry["name"]]
    return " ".join(place)
