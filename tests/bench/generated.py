"""Generated news articles: the texts of the benches where there is no public data.

Articles are put together from the words and patterns in `vocabulary.toml`, the same for the same seed. Their
lengths, sentences, names and amounts follow the distribution of a public corpus, Reuters C50 (UCI Machine Learning
Repository, CC BY 4.0; 5,000 articles), as measured with the project's default model; figures alone were taken from
it, no text. Copies, boilerplate and repeated paragraphs follow what the deduper and the linker are made for.

Measured over C50, and over 1,000 generated articles without repeats (seed 1); names and amounts over 500 of each:

                                                      C50    generated
words of an article, quantile 0.1                     346          339
  median, 0.9, 0.99                        510, 655, 882   514, 658, 1026
paragraphs of an article, median                       17           17
words of a paragraph, 0.25, median, 0.75       22, 29, 36   20, 29, 37
words of a sentence, 0.25, median, 0.75        15, 22, 30   13, 19, 28
characters a word                                    6.16         6.41
model's tokens a word                                1.20         1.18
capitalised words inside sentences, share           0.108        0.108
paragraphs with a quotation, share                   0.28         0.30
entities of all kinds per 100 words                  12.1         12.4
people, organisations and places per 100 words       6.37         6.52
  PERSON, ORG, GPE + LOC                 1.44, 2.93, 1.99   1.21, 3.19, 2.13
different names of an article, median                  19           22
names that are in one of 500 articles only, share    0.79         0.80
different words among 400,000                      18,343        7,846
words that the model reads a CPU second            16,500       16,300
fingerprints of an article in the linker             56.6         56.0

The vocabulary is the one thing that stays smaller than that of news.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from string import Formatter
from typing import TypeVar

T = TypeVar("T")

Quantiles = Sequence[tuple[float, float]]
"""Points (share of the values at or below, value) of a distribution, in rising order."""

ARTICLE_WORDS: Quantiles = (
    (0, 60), (0.01, 159), (0.05, 296), (0.1, 346), (0.25, 425), (0.5, 510), (0.75, 579), (0.9, 655), (0.95, 717),
    (0.99, 882), (1, 1600),
)  # fmt: skip
"""Words of an article, as in C50."""

SENTENCE_WORDS: Quantiles = ((0, 4), (0.05, 7), (0.1, 9), (0.25, 15), (0.5, 22), (0.75, 30), (0.9, 36), (1, 50))
"""Words of a sentence, as in C50."""

SENTENCES = ((1, 71), (2, 23), (3, 5), (4, 1))
"""Sentences of a paragraph, and how often there are that many among 100, as in C50."""

QUOTED = 0.18
"""Share of paragraphs in which a person is quoted; single quoted words are in others (0.30 together, C50 0.28)."""

PUBLISHERS = 40
COPIES, EDITED_COPIES = 0.05, 0.15
"""Shares of articles that another publisher has sent before, unchanged and edited. C50: 0.00 and 0.18."""
RECENT_ARTICLES = 500
"""Articles of which copies are made: a reprint follows within days."""
REPEATING = 0.02
"""Share of articles that contain a paragraph twice."""
WITH_BOILERPLATE = 0.6
"""Share of publishers that put one to three lines of their own under their articles."""

UNNAMED = {"person": 0.25, "organisation": 0.2, "place": 0.1}
"""Share of mentions without a name: "she", "the company", "the capital"."""

PEOPLE, ORGANISATIONS = 8000, 5000
"""Numbers of people and of organisations in the news; most are in few articles."""

_VOCABULARY = tomllib.loads((Path(__file__).parent / "vocabulary.toml").read_text(encoding="utf-8"))
WORDS: dict[str, list[str]] = {name: words.split() for name, words in _VOCABULARY["words"].items()}
PHRASES: dict[str, list[str]] = {
    **{name: " ".join(entries.split()).split(", ") for name, entries in _VOCABULARY["lists"].items()},
    **{name: lines.strip("\n").split("\n") for name, lines in _VOCABULARY["phrases"].items()},
}
_PARSED = {
    name: [[(text, slot) for text, slot, _, _ in Formatter().parse(line)] for line in lines]
    for name, lines in PHRASES.items()
}
_VERB_FORMS = {"verb": 0, "verbed": 1, "verbing": 2}
_ARTICLE_PATTERN = re.compile(r"\b([Aa])(?= [aeiouAEIOU])")


@dataclass(frozen=True)
class Article:
    """An article as its publisher sends it; `copy_of` is the number of the article that it reprints."""

    publisher: str
    paragraphs: tuple[str, ...]
    copy_of: int | None = None

    @property
    def text(self) -> str:
        """The paragraphs with blank lines between them."""
        return "\n\n".join(self.paragraphs)


def quantile(quantiles: Quantiles, share: float) -> float:
    """Return the value at or below which `share` of a distribution lies; it is linear between the points given."""
    for (low, start), (high, end) in pairwise(quantiles):
        if share <= high:
            return start + (end - start) * (share - low) / (high - low)
    return quantiles[-1][1]


def skewed(chance: random.Random, values: Sequence[T], skew: float = 2) -> T:
    """Draw one of `values`, earlier ones more often; evenly if `skew` is 1."""
    return values[int(len(values) * chance.random() ** skew)]


def plural(noun: str) -> str:
    """Return the plural of a regular English noun."""
    if noun.endswith("y") and noun[-2] not in "aeou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


class World:
    """The people and organisations of whom there is news, with the publishers; the same for every seed."""

    def __init__(self) -> None:
        chance = random.Random(0)
        surnames = [stem + ending for ending in WORDS["surname_ending"] for stem in WORDS["surname_stem"]]
        self.people = [(chance.choice(WORDS["first_name"]), chance.choice(surnames)) for _ in range(PEOPLE)]
        self.companies = [self._company(chance, surnames) for _ in range(ORGANISATIONS)]
        self.villages = [
            stem + ending for ending in ("burg", "ham", "port", "ville") for stem in WORDS["surname_stem"]
        ]
        names = [f"{city.split()[-1].lower()}-post.example" for city in PHRASES["city"][:PUBLISHERS]]
        self.publishers = {
            name: tuple(line.replace("{publisher}", name) for line in self._lines(chance)) for name in names
        }

    @staticmethod
    def _company(chance: random.Random, surnames: Sequence[str]) -> tuple[str, ...]:
        """Return the full name of a company, and shorter ones for later mentions."""
        first = chance.choice(
            [skewed(chance, WORDS["company"], 1), chance.choice(surnames), chance.choice(PHRASES["city"])]
        )
        if chance.random() < 0.3:
            name = f"{first} & {chance.choice(surnames)}"
            return f"{name} {skewed(chance, WORDS['legal_form'])}", name
        name = f"{first} {chance.choice(WORDS['industry'])}"
        return f"{name} {skewed(chance, WORDS['legal_form'])}", name

    @staticmethod
    def _lines(chance: random.Random) -> list[str]:
        if chance.random() > WITH_BOILERPLATE:
            return []
        return chance.sample(PHRASES["boilerplate"], chance.randint(1, 3))


@dataclass
class Writer:
    """Sentences about the people, organisations and places of one article."""

    chance: random.Random
    world: World
    people: list[tuple[str, str]] = field(init=False)
    organisations: list[tuple[str, ...]] = field(init=False)
    places: list[str] = field(init=False)
    mentioned: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        chance = self.chance
        self.people = [skewed(chance, self.world.people) for _ in range(chance.randint(2, 6))]
        self.organisations = [
            (skewed(chance, PHRASES["institution"]),)
            if chance.random() < 0.3
            else skewed(chance, self.world.companies)
            for _ in range(chance.randint(4, 8))
        ]
        kinds = chance.choices(
            [WORDS["country"], PHRASES["city"], PHRASES["region"], self.world.villages],
            weights=[45, 40, 5, 10],
            k=chance.randint(4, 9),
        )
        self.places = [skewed(chance, kind) for kind in kinds]

    def paragraph(self) -> str:
        """Write one paragraph."""
        count = self.chance.choices([count for count, _ in SENTENCES], [weight for _, weight in SENTENCES])[0]
        quoted = self.chance.randrange(count) if self.chance.random() < QUOTED else -1
        return " ".join(self._sentence(1.1 / count**0.6, quoted=number == quoted) for number in range(count))

    def headline(self) -> str:
        """Write a headline."""
        return _capitalised(self.phrase("headline"))

    def _sentence(self, scale: float, *, quoted: bool) -> str:
        target = quantile(SENTENCE_WORDS, self.chance.random()) * scale
        if quoted:
            text = self.phrase("quotation")
        else:
            text = self.phrase("opening" if self.chance.random() < 0.2 else "clause")
        while len(text.split()) < target - 3:
            text += self.phrase("extension")
        return _capitalised(f'{text}," {self._slot("person")} said.' if quoted else f"{text}.")

    def phrase(self, name: str) -> str:
        """Fill in one of the patterns of this name."""
        pattern = self.chance.choice(_PARSED[name])
        return "".join(text + (self._slot(slot) if slot else "") for text, slot in pattern)

    def _slot(self, name: str) -> str:
        chance = self.chance
        if name in _VERB_FORMS:
            return skewed(chance, WORDS["verb"]).split("/")[_VERB_FORMS[name]]
        if name in ("noun", "nouns"):
            noun = self._noun()
            return noun if name == "noun" else plural(noun)
        if name in UNNAMED and chance.random() < UNNAMED[name]:
            return self.phrase(f"unnamed_{name}")
        if name in WORDS:
            return skewed(chance, WORDS[name], 1.5).replace("_", " ")
        if name in _PARSED:
            return self.phrase(name)
        values: dict[str, Callable[[], str]] = {
            "person": self._person,
            "organisation": self._organisation,
            "place": lambda: skewed(chance, self.places),
            "year": lambda: str(chance.randint(1990, 2026)),
            "day": lambda: str(chance.randint(1, 28)),
            "number": lambda: f"{int(10 ** chance.uniform(1, 5)):,}",
            "scale": lambda: f"{10 ** chance.uniform(0, 2.5):.{chance.randint(0, 1)}f}",
        }
        return values[name]()

    def _noun(self) -> str:
        if self.chance.random() < 0.03:
            return self.chance.choice(WORDS["prefix"]) + self.chance.choice(WORDS["suffix"])
        noun = skewed(self.chance, WORDS["noun"], 1.5)
        return noun if self.chance.random() < 0.96 else self.chance.choice(WORDS["noun_prefix"]) + noun

    def _person(self) -> str:
        first, last = skewed(self.chance, self.people)
        if last in self.mentioned:
            return last
        self.mentioned.add(last)
        role = self.phrase("role")
        return self.chance.choice(
            [f"{first} {last}", f"{first} {last}, the {role.lower()},", f"{role} {first} {last}"]
        )

    def _organisation(self) -> str:
        names = skewed(self.chance, self.organisations)
        if names[0] in self.mentioned:
            return names[-1]
        self.mentioned.add(names[0])
        return names[0]


def _capitalised(sentence: str) -> str:
    start = sentence.startswith('"')
    sentence = sentence[: start + 1].upper() + sentence[start + 1 :]
    return _ARTICLE_PATTERN.sub(r"\1n", sentence).replace(",,", ",").replace(",.", ".")


def generate_articles(seed: int = 1, *, repeats: bool = True) -> Iterator[Article]:
    """Generate articles without end; without `repeats`, none is a copy, and there is no boilerplate.

    An article takes about 0.7 ms.
    """
    chance = random.Random(seed)
    world = World()
    publishers = list(world.publishers)
    recent: deque[tuple[int, Article]] = deque(maxlen=RECENT_ARTICLES)
    number = 0
    while True:
        publisher = skewed(chance, publishers)
        kind = chance.random() if repeats and recent else 1.0
        if kind < COPIES + EDITED_COPIES:
            original, article = chance.choice(recent)
            paragraphs = article.paragraphs
            if kind >= COPIES:
                paragraphs = _edited(chance, Writer(chance, world), paragraphs)
            article = Article(publisher, paragraphs, original)
        else:
            article = _new_article(chance, Writer(chance, world), publisher)
            if repeats and chance.random() < REPEATING:
                again = chance.choice(article.paragraphs)
                article = Article(publisher, (*article.paragraphs, again))
            recent.append((number, article))
        lines = world.publishers[publisher] if repeats else ()
        yield Article(publisher, article.paragraphs + lines, article.copy_of)
        number += 1


def _new_article(chance: random.Random, writer: Writer, publisher: str) -> Article:
    target = quantile(ARTICLE_WORDS, chance.random())
    paragraphs: list[str] = []
    words = 0
    while words < target - 14:
        paragraphs.append(writer.paragraph())
        words += len(paragraphs[-1].split())
    return Article(publisher, tuple(paragraphs))


def _edited(chance: random.Random, writer: Writer, paragraphs: tuple[str, ...]) -> tuple[str, ...]:
    """A reprint as an editor leaves it: another first paragraph, some words replaced, cut from the end."""
    kept = paragraphs[: max(2, int(len(paragraphs) * chance.uniform(0.6, 1)))]
    edited = [_reworded(chance, text) if chance.random() < 0.3 else text for text in kept]
    return (writer.paragraph(), *edited[1:]) if chance.random() < 0.5 else tuple(edited)


def _reworded(chance: random.Random, paragraph: str) -> str:
    words = paragraph.split()
    for _ in range(max(1, len(words) // 20)):
        words[chance.randrange(len(words))] = skewed(chance, WORDS["adjective"])
    return " ".join(words)
