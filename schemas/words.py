"""What a word is, wherever two texts are compared: the same in every service."""

from __future__ import annotations

import re

# Scripts that set no spaces between words are taken by the character.
_BY_CHARACTER = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_BY_CHARACTER}]|[^\W{_BY_CHARACTER}]+|[%‰°$€£¥₩₪₫₱₴₹₺₽]")


def find_words(text: str) -> list[str]:
    """The words of a text in form NFC, in order: letters, digits, currency and percent signs.

    All other punctuation is left out. What is written without spaces (Chinese, Japanese, Thai) is a word for each
    character.
    """
    return _WORD.findall(text)
