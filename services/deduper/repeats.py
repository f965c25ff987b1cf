"""Whether a paragraph repeats an earlier one of its article, and which."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from difflib import SequenceMatcher

from schemas.words import find_words

MOST_SHARERS = 32
"""Paragraphs looked up for one shingle: what more paragraphs share is the frame of a list or a table. It keeps
the work for an article in proportion to its length."""

MOST_COMPARED = 3
"""Earlier paragraphs, those with the most shingles in common, that a paragraph is compared with."""

MOST_NEW_WORDS = 8
"""A paragraph with more words in one place that the earlier one has not says something new. Datelines and agency
lines that publishers put around a paragraph have 5 to 8."""

MOST_ALIGNED = 2_500
"""Pairs of words that are aligned one by one between two places where the paragraphs agree; a larger stretch is
compared as a whole, since aligning takes time with the square of the length."""

_NUMBERS = (
    "two three four five six seven eight nine ten eleven twelve first second third fourth fifth "
    "deux trois quatre cinq sept huit neuf dix zwei drei vier fünf sechs sieben acht neun zehn elf zwölf"
)
_NUMBER_WORDS = frozenset(_NUMBERS.split())


@dataclass(frozen=True)
class Wording:
    """A paragraph as its words: letters, digits, currency and percent signs; without any other punctuation."""

    index: int
    words: Sequence[str]
    folded: Sequence[str]
    """The words without letter case."""
    shingles: Set[Sequence[str]]
    """Each run of so many folded words, in order."""

    @classmethod
    def of(cls, text: str, *, index: int, shingle_words: int) -> Wording:
        """The wording of a text in form NFC."""
        words = find_words(text)
        folded = tuple(map(str.casefold, words))
        return cls(index, words, folded, dict.fromkeys(_runs(folded, shingle_words)).keys())

    @property
    def length(self) -> int:
        """How many words it has, numbers and signs not counted: a row of a table says nothing by its length."""
        return sum(map(str.isalpha, self.folded))


class EarlierParagraphs:
    """The kept paragraphs of one article, found again by their shingles."""

    def __init__(self, *, threshold: float, is_name: Callable[[str], bool]) -> None:
        """`threshold`: Jaccard similarity of the shingles, 0 to 1. `is_name`: whether a word is one."""
        self._threshold = threshold
        self._is_name = is_name
        self._by_words: dict[Sequence[str], int] = {}
        self._kept: list[Wording] = []
        self._by_shingle: dict[Sequence[str], list[int]] = defaultdict(list)

    def add(self, wording: Wording) -> None:
        """Remember a kept paragraph."""
        self._by_words.setdefault(wording.folded, wording.index)
        for shingle in wording.shingles:
            sharers = self._by_shingle[shingle]
            if len(sharers) < MOST_SHARERS:
                sharers.append(len(self._kept))
        self._kept.append(wording)

    def exact(self, wording: Wording) -> int | None:
        """The index of the paragraph with the same words in the same order."""
        return self._by_words.get(wording.folded)

    def near(self, wording: Wording) -> int | None:
        """The index of the most similar paragraph that this one repeats with small changes."""
        shared: Counter[int] = Counter()
        for shingle in wording.shingles:
            if sharers := self._by_shingle.get(shingle):
                shared.update(sharers)
        for place, _ in shared.most_common(MOST_COMPARED):
            earlier = self._kept[place]
            if _jaccard(earlier.shingles, wording.shingles) >= self._threshold and not says_something_else(
                earlier, wording, self._is_name
            ):
                return earlier.index
        return None


def says_something_else(earlier: Wording, later: Wording, is_name: Callable[[str], bool]) -> bool:
    """Whether the later wording adds a sentence, or has another number or name in the place of one.

    The same characters with other punctuation are the same number or name, and a name spelt with its letters in
    another order is a slip of the keyboard.
    """
    for old, new in _changes(earlier.folded, later.folded):
        before, after = earlier.words[old], later.words[new]
        if len(after) - len(before) > MOST_NEW_WORDS:
            return True
        written, rewritten = "".join(before).casefold(), "".join(after).casefold()
        if written == rewritten:
            continue
        if _exchanged(filter(_is_number, before), filter(_is_number, after)):
            return True
        if sorted(written) != sorted(rewritten) and _exchanged(filter(is_name, before), filter(is_name, after)):
            return True
    return False


def _exchanged(before: Iterable[str], after: Iterable[str]) -> bool:
    """Whether each of the two has a word that the other has not."""
    one, other = set(map(str.casefold, before)), set(map(str.casefold, after))
    return not one <= other and not other <= one


def _is_number(word: str) -> bool:
    return not word.isalpha() or word.isnumeric() or word.casefold() in _NUMBER_WORDS


def _changes(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[slice, slice]]:
    """Where the two differ, in order: what stands before, and what stands after in its place; one may be empty."""
    for old, new in _between_common_runs(before, after):
        if (old.stop - old.start) * (new.stop - new.start) > MOST_ALIGNED:
            yield old, new
            continue
        aligned = SequenceMatcher(None, before[old], after[new], autojunk=False)
        for kind, start, stop, new_start, new_stop in aligned.get_opcodes():
            if kind != "equal":
                yield (
                    slice(old.start + start, old.start + stop),
                    slice(new.start + new_start, new.start + new_stop),
                )


def _between_common_runs(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[slice, slice]]:
    """The stretches between runs of two words that each of the two has once, as far as they come in one order.

    It takes time in proportion to the lengths, and leaves short stretches to align.
    """
    place = _once(after)
    common = [(old, place[run]) for run, old in _once(before).items() if run in place]
    old = new = 0
    for at in _longest_rise([later for _, later in common]):
        start, new_start = common[at]
        yield slice(old, max(old, start)), slice(new, max(new, new_start))
        old, new = start + 2, new_start + 2
    yield slice(old, len(before)), slice(new, len(after))


def _once(words: Sequence[str]) -> dict[Sequence[str], int]:
    """The runs of two words that come once, in order, and where each starts."""
    times = Counter(_runs(words, 2))
    return {run: start for start, run in enumerate(_runs(words, 2)) if times[run] == 1}


def _longest_rise(values: Sequence[int]) -> list[int]:
    """The places of a longest subsequence of rising values (patience sorting)."""
    ends: list[int] = []
    smallest: list[int] = []
    previous: list[int] = []
    for place, value in enumerate(values):
        length = bisect_left(smallest, value)
        previous.append(ends[length - 1] if length else -1)
        ends[length : length + 1] = [place]
        smallest[length : length + 1] = [value]
    rise = ends[-1:]
    while rise and previous[rise[-1]] >= 0:
        rise.append(previous[rise[-1]])
    return rise[::-1]


def _jaccard(one: Set[Sequence[str]], other: Set[Sequence[str]]) -> float:
    common = len(one & other)
    return common / (len(one) + len(other) - common)


def _runs(words: Sequence[str], length: int) -> Iterator[Sequence[str]]:
    return zip(*(words[start:] for start in range(length)), strict=False)
