"""Names made alike for comparing: without case, dots, apostrophes, hyphens and the marks on Latin letters."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# Letters that Unicode does not take apart into a Latin letter and a mark.
_LATIN = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"})
_LATIN_MARKS = re.compile(r"(?<=[a-z])[\u0300-\u036f]+")
_UNSPOKEN = re.compile(r"[.'’‘`]")


@lru_cache(maxsize=16_384)
def folded(text: str) -> tuple[str, ...]:
    """The words of a name without case, dots, apostrophes, hyphens and the marks on Latin letters.

    Letters and marks of other scripts are kept: there a mark can be a vowel.
    """
    plain = _UNSPOKEN.sub("", text.casefold())
    if not plain.isascii():
        plain = _LATIN_MARKS.sub("", unicodedata.normalize("NFKD", plain.translate(_LATIN)).casefold())
        plain = unicodedata.normalize("NFC", plain)
    return tuple("".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in plain).split())
