"""The linker's steps, with any order of arrival, any number of partitions and any number of deliveries."""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.article import DedupedArticle, Paragraph
from schemas.story import Fingerprints, Follow, Leads, Overlap, Story
from services.linker import core
from services.linker.core import Links, Shard, Stories, fingerprint, spread
from services.store import MemoryStore

WINDOW = timedelta(days=14)
SYLLABLES = ("ba", "cor", "dun", "el", "fen", "gar", "hol", "in", "jor", "kel", "lum", "mar", "nor", "os", "per")
WORDS = ["".join(parts) for parts in product(SYLLABLES, repeat=3)]


def paragraph(number: int, words: int = 24) -> str:
    """Words of its own."""
    return " ".join(WORDS[number * words : number * words + words])


def article(
    number: int, paragraphs: Iterable[int], hours: float = 0, revision: int = 1, time: bool = True
) -> DedupedArticle:
    when = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=hours)
    return DedupedArticle(
        id=f"{number:032x}",
        revision=revision,
        received=when,
        publisher="p.example",
        published=when if time else None,
        language="en",
        language_confidence=1,
        kept=tuple(Paragraph(index=place, text=paragraph(each)) for place, each in enumerate(paragraphs)),
    )


class Cluster:
    """The linker on some partitions, whose queues are emptied in any order, each in its own."""

    def __init__(self, shards: int, homes: int, most_owners: int = 32) -> None:
        self.shards = [Shard(number, MemoryStore(), WINDOW, most_owners) for number in range(shards)]
        self.homes = [Stories(MemoryStore(), shards) for _ in range(homes)]
        self.queues: dict[tuple[str, int], deque[Any]] = defaultdict(deque)
        self.stories: dict[str, Story] = {}
        self.written = 0
        self.offset = 0

    def send(self, each: DedupedArticle) -> None:
        self.offset += 1
        for number, part in spread(each, self.offset, len(self.shards)).items():
            self.queues["shard", number].append(part)

    def work(self, chance: random.Random) -> None:
        while waiting := sorted(place for place, queue in self.queues.items() if queue):
            kind, number = chance.choice(waiting)
            record: Fingerprints | Overlap | Follow | Leads = self.queues[kind, number].popleft()
            if isinstance(record, Fingerprints):
                self.post(self.shards[number].take(record))
                continue
            out, stories = self.homes[number].take(record)
            self.post(out)
            self.written += len(stories)
            self.stories |= {story.id: story for story in stories}

    def post(self, records: Iterable[Overlap | Follow | Leads]) -> None:
        for record in records:
            self.queues["home", int(record.id, 16) % len(self.homes)].append(record)


def findings(stories: dict[str, Story]) -> dict[int, tuple[int, int | None, float, tuple[Any, ...]]]:
    return {
        int(story.id, 16): (
            int(story.story_id, 16),
            int(story.duplicate_of, 16) if story.duplicate_of else None,
            story.originality,
            story.paragraphs,
        )
        for story in stories.values()
    }


def together(articles: Sequence[DedupedArticle]) -> dict[int, tuple[int, int | None, float, tuple[Any, ...]]]:
    links = Links(WINDOW)
    stories: dict[str, Story] = {}
    for each in articles:
        stories |= links.add(each)
    return findings(stories)


STREAM = [
    article(1, range(8), 1),
    article(2, range(1, 8), 2),  # cut
    article(3, [7, 3, 1, 2, 40], 3),  # reordered, with an end of its own
    article(4, [*range(20, 26)], 1),
    article(5, [20, 21, 22], 4),
    article(6, range(30, 36), 2),  # no copy
    article(7, [40, 41, 42, 43], 5),  # shares one paragraph of four
    article(8, [], 1),
    article(9, range(8), 24 * 20),  # the first one again, weeks later
]


def test_copies_follow_the_earliest() -> None:
    found = together(STREAM)
    assert {number: story for number, (story, *_) in found.items()} == {
        1: 1, 2: 1, 3: 1, 4: 4, 5: 4, 6: 6, 7: 7, 8: 8, 9: 9,
    }  # fmt: skip
    assert {number: leader for number, (_, leader, *_) in found.items() if leader} == {2: 1, 3: 1, 5: 4}
    assert found[1][2] == found[6][2] == found[8][2] == found[9][2] == 1.0
    assert found[2][2] == 0.0
    assert 0 < found[3][2] < 0.3
    assert [(each.index, int(each.id, 16), each.share) for each in found[3][3]] == [
        (0, 1, 1.0), (1, 1, 1.0), (2, 1, 1.0), (3, 1, 1.0),
    ]  # fmt: skip


@given(
    st.permutations(STREAM + STREAM), st.integers(1, 7), st.integers(1, 4), st.integers(0, 2**32), st.integers(0, 9)
)
def test_the_findings_depend_on_the_set_of_articles_alone(
    articles: list[DedupedArticle], shards: int, homes: int, seed: int, at_once: int
) -> None:
    cluster = Cluster(shards, homes)
    chance = random.Random(seed)
    for number, each in enumerate(articles):
        cluster.send(each)
        if at_once and number % at_once == 0:
            cluster.work(chance)
    cluster.work(chance)
    assert findings(cluster.stories) == together(STREAM)


def test_a_redelivery_writes_nothing() -> None:
    cluster = Cluster(3, 2)
    for _ in range(3):
        for each in STREAM:
            cluster.send(each)
        cluster.work(random.Random(1))
        if _ == 0:
            first = cluster.written
    assert cluster.written == first


def test_a_correction_leaves_the_story_and_those_behind_it_find_another_first() -> None:
    cluster = Cluster(4, 2)
    corrected = article(1, range(50, 56), 1, revision=2)
    for each in (*STREAM[:3], corrected, STREAM[0]):
        cluster.send(each)
        cluster.work(random.Random(2))
    found = findings(cluster.stories)
    assert {number: found[number][0] for number in (1, 2, 3)} == {1: 1, 2: 2, 3: 2}
    assert found[2][2] == 1.0


def test_a_chain_is_one_story_by_its_leaders() -> None:
    """2 shares half with 1, and 3 half with 2; 3 has nothing of 1, and is of the story all the same."""
    chain = [article(1, range(4), 1), article(2, range(2, 6), 2), article(3, range(4, 8), 3)]
    for order in (chain, chain[::-1], [chain[0], chain[2], chain[1]]):
        found = together(order)
        assert {number: (story, leader) for number, (story, leader, *_) in found.items()} == {
            1: (1, None),
            2: (1, 1),
            3: (1, 2),
        }


def test_one_common_sentence_is_no_copy() -> None:
    found = together([article(1, [1], 1), article(2, [1, 2, 3, 4, 5], 2), article(3, [9, 1, 10, 11, 12, 13], 3)])
    assert found[3][1] is None or found[3][1] == 1
    assert together([article(1, [1, 30, 31, 32], 1), article(2, [1, 2, 3, 4], 2)])[2][1] is None


def test_of_one_time_the_smaller_id_is_first() -> None:
    assert together([article(2, range(4)), article(1, range(4))])[2][:2] == (1, 1)


def test_without_a_time_of_publication_it_is_when_it_was_received() -> None:
    (record,) = spread(article(1, [1], 5, time=False), 7, 1).values()
    assert record.time == datetime(2026, 3, 1, 5, tzinfo=UTC)
    assert (record.offset, record.revision) == (7, 1)


def test_a_line_that_many_have_keeps_its_earliest_owners() -> None:
    store = MemoryStore()
    shard = Shard(0, store, WINDOW, most_owners=3)
    for number in (5, 4, 3, 2, 1, 6):
        for record in spread(article(number, [0], number), 0, 1).values():
            found = {int(each.id, 16): each for each in shard.take(record)}
    assert {int(each.id, 16) for each in found[6].shared} == {1, 2, 3}
    assert max(len(value) for key, value in store.rows.items() if key.startswith(b"f")) == 3 * 28


def test_spread_covers_every_partition_and_every_fingerprint_once() -> None:
    parts = spread(STREAM[0], 1, 5)
    assert parts.keys() == set(range(5))
    marks = [mark for part in parts.values() for mark in part.fingerprints]
    assert sorted(marks) == sorted(fingerprint(STREAM[0].kept))
    assert all(value % 5 == number for number, part in parts.items() for value, _ in part.fingerprints)
    assert {part.total for part in parts.values()} == {len(marks)}


@given(st.integers(0, 200), st.integers(0, 200))
def test_a_run_of_words_that_two_texts_share_is_found(before: int, after: int) -> None:
    shared = paragraph(0, core.WINDOW_SHINGLES + core.SHINGLE_WORDS - 1)
    texts = [f"{' '.join(WORDS[500 : 500 + before])} {shared} {' '.join(WORDS[900 : 900 + after])}", shared]
    one, other = (dict(fingerprint([Paragraph(index=0, text=text)])) for text in texts)
    assert one.keys() & other.keys()


def test_short_paragraphs_and_giants() -> None:
    assert fingerprint([Paragraph(index=0, text="four words are few")]) == []
    assert len(fingerprint([Paragraph(index=0, text="five words make one shingle")])) == 1
    giant = [Paragraph(index=n, text=f"a{n} b{n} c{n} d{n} e{n}") for n in range(core.MOST_FINGERPRINTS + 9)]
    assert len(fingerprint(giant)) == core.MOST_FINGERPRINTS


def test_a_paragraph_index_beyond_the_limit_counts_as_the_last() -> None:
    marks = fingerprint([Paragraph(index=70_000, text=paragraph(1))])
    assert {index for _, index in marks} == {core.MOST_INDEX}
    (record,) = spread(article(1, [1]), 0, 1).values()
    record = record.model_copy(update={"fingerprints": tuple(marks)})
    assert Shard(0, MemoryStore(), WINDOW).take(record)


def test_the_state_of_an_article_is_small() -> None:
    links = Links(WINDOW)
    for number in range(20):
        links.add(article(number, range(number * 4, number * 4 + 4), number))
    rows = {**links._shard._store.rows, **links._stories._store.rows}  # type: ignore[attr-defined]
    marks = sum(len(fingerprint(article(number, range(number * 4, number * 4 + 4)).kept)) for number in range(20))
    assert sum(len(key) + len(value) for key, value in rows.items()) < marks * 50 + 20 * 300
