"""What came from outside, shown on a terminal as text and as nothing else."""

from __future__ import annotations

import re

from rich.text import Text

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Characters that a terminal obeys in place of showing them, and those that turn the direction of a line."""


def shown(text: object) -> Text:
    """`text` without markup; a control character of it is a replacement character."""
    return Text(_CONTROL.sub("\ufffd", str(text)))
