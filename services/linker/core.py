"""The linker's three steps: an article's fingerprints, what it shares with earlier articles, and its story.

What an article's story is depends on the set of all articles alone, not on the order in which they came: of two
articles the earlier one is the one published first, then the one with the smaller id, whichever came first. So an
article that comes late can still become the first of its story, and those behind it are told.
"""

from __future__ import annotations

import json
import struct
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

from schemas.article import DedupedArticle, Paragraph, in_utc
from schemas.story import Fingerprints, Follow, Leads, Overlap, SeenFirst, SeenParagraph, Shared, Story
from schemas.words import find_words
from services.store import MemoryStore, Store

SHINGLE_WORDS = 5
"""Words in a shingle. With 3 words two reports on one event share phrases: of the pairs found in 3,997 labelled
articles at half the threshold, 3 words have 0.95 right, 5 words 0.98."""

WINDOW_SHINGLES = 12
"""Of so many shingles in a row the one with the least hash is kept, so that any run of 16 words that two texts have
in common is found (winnowing: Schleimer, Wilkerson, Aiken 2003). It keeps one shingle in six."""

MOST_FINGERPRINTS = 4096
"""Of one article, those with the least hashes; an article has 55. What is longer than a book's chapter is told by a
sample, which two copies of it sample alike."""

MOST_INDEX = 2**16 - 1
"""Largest index of a paragraph that is remembered; what stands behind counts as that one."""

_FINGERPRINT_BYTES = 6
_HEAD = struct.Struct(">qqqI")
_MARK = struct.Struct(">6sH")
_OWNER = struct.Struct(">q16sI")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


# ---------------------------------------------------------------- an article's fingerprints


def fingerprint(paragraphs: Sequence[Paragraph]) -> list[tuple[int, int]]:
    """Each fingerprint of an article with the index of the first paragraph that has it.

    A paragraph of fewer than `SHINGLE_WORDS` words has none; one with up to `WINDOW_SHINGLES` shingles has one.
    """
    found: dict[int, int] = {}
    for paragraph in paragraphs:
        for value in _winnow([word.casefold() for word in find_words(paragraph.text)]):
            found.setdefault(value, min(paragraph.index, MOST_INDEX))
    if len(found) > MOST_FINGERPRINTS:
        found = {value: found[value] for value in sorted(found)[:MOST_FINGERPRINTS]}
    return list(found.items())


def _winnow(words: Sequence[str]) -> Iterable[int]:
    shingles = zip(*(words[start:] for start in range(SHINGLE_WORDS)), strict=False)
    hashes = [
        int.from_bytes(blake2b(" ".join(shingle).encode(), digest_size=_FINGERPRINT_BYTES).digest())
        for shingle in shingles
    ]
    if not hashes:
        return ()
    return {
        min(hashes[start : start + WINDOW_SHINGLES]) for start in range(max(1, len(hashes) - WINDOW_SHINGLES + 1))
    }


def home_of(article: str, partitions: int) -> int:
    """The partition of articles-overlaps that an article belongs to, by its id."""
    return int(article[-8:], 16) % partitions


def spread(article: DedupedArticle, offset: int, partitions: int) -> dict[int, Fingerprints]:
    """Partition -> those fingerprints of the article that belong there.

    A partition without any is told so: an earlier revision may have had some.
    """
    marks = fingerprint(article.kept)
    shares: dict[int, list[tuple[int, int]]] = {partition: [] for partition in range(partitions)}
    for value, index in marks:
        shares[value % partitions].append((value, index))
    time = in_utc(article.published) if article.published else article.received
    return {
        partition: Fingerprints(
            id=article.id,
            revision=article.revision,
            offset=offset,
            time=time,
            total=len(marks),
            fingerprints=tuple(share),
        )
        for partition, share in shares.items()
    }


# ---------------------------------------------------------------- what it shares with earlier articles


@dataclass(frozen=True, order=True)
class Owner:
    """An article that has a fingerprint; earlier ones are smaller."""

    time: int
    """Microseconds since 1970, UTC."""
    id: bytes
    total: int = field(compare=False)


@dataclass(frozen=True)
class Known:
    """What is remembered of an article in one partition."""

    revision: int
    offset: int
    owner: Owner
    marks: tuple[tuple[bytes, int], ...]


class Shard:
    """One partition of the fingerprints: who has which.

    State for each article: its fingerprints here, 8 bytes each; for each fingerprint and each period of one window
    its earliest owners, 28 bytes each and at most `most_owners`.
    """

    def __init__(self, partition: int, store: Store, window: timedelta, most_owners: int = 32) -> None:
        self._partition, self._store, self._most_owners = partition, store, most_owners
        self._window = window // _MICROSECOND
        self._seen: dict[bytes, list[Owner]] = {}

    def take(self, record: Fingerprints) -> list[Overlap]:
        """What the article shares with earlier ones here, and the same anew for later ones that this changes.

        Of one article the highest revision counts, and of that the last record; an older one changes nothing.
        """
        self._seen.clear()
        name = bytes.fromhex(record.id)
        before = self._article(name)
        if before is not None and (record.revision, record.offset) < (before.revision, before.offset):
            return [self._overlap(before)]
        owner = Owner((record.time - _EPOCH) // _MICROSECOND, name, record.total)
        marks = tuple((value.to_bytes(_FINGERPRINT_BYTES), index) for value, index in record.fingerprints)
        now = Known(record.revision, record.offset, owner, marks)
        old = {value for value, _ in before.marks} if before else set()
        new = {value for value, _ in marks}
        same = before is not None and (before.owner, before.owner.total) == (owner, owner.total)
        later: set[bytes] = set()
        for value in old | new:
            if same and value in old and value in new:
                continue
            if before is not None and value in old:
                later |= self._leave(value, before.owner)
            if value in new:
                later |= self._join(value, owner)
        self._put_article(now)
        others = [known for each in sorted(later) if (known := self._article(each)) is not None]
        return [self._overlap(now), *(self._overlap(each) for each in others)]

    def _join(self, value: bytes, owner: Owner) -> set[bytes]:
        """Remember an owner of a fingerprint; the ids of those that it comes before."""
        period = owner.time // self._window
        owners = list(self._owners(value, period))
        place = bisect_left(owners, owner)
        owners.insert(place, owner)
        self._put_owners(value, period, owners[: self._most_owners])
        return {each.id for each in (*owners[place + 1 :], *self._owners(value, period + 1))}

    def _leave(self, value: bytes, owner: Owner) -> set[bytes]:
        """Forget an owner of a fingerprint; the ids of those that it came before."""
        period = owner.time // self._window
        owners = [each for each in self._owners(value, period) if each.id != owner.id]
        self._put_owners(value, period, owners)
        place = bisect_left(owners, owner)
        return {each.id for each in (*owners[place:], *self._owners(value, period + 1))}

    def _earlier(self, value: bytes, owner: Owner) -> list[Owner]:
        """The owners of a fingerprint that come before this one and are near enough, the earliest first."""
        period = owner.time // self._window
        here = self._owners(value, period)
        before = [each for each in self._owners(value, period - 1) if owner.time - each.time <= self._window]
        return before + here[: bisect_left(here, owner)]

    def _overlap(self, known: Known) -> Overlap:
        owner = known.owner
        counts: Counter[int] = Counter()
        shared: Counter[Owner] = Counter()
        seen_first: Counter[tuple[int, bytes]] = Counter()
        for value, index in known.marks:
            counts[index] += 1
            earlier = self._earlier(value, owner)
            shared.update(earlier)
            if earlier:
                seen_first[index, earlier[0].id] += 1
        return Overlap(
            id=owner.id.hex(),
            partition=self._partition,
            time=_time(owner.time),
            total=owner.total,
            counts=tuple(sorted(counts.items())),
            shared=tuple(
                Shared(id=each.id.hex(), time=_time(each.time), total=each.total, count=count)
                for each, count in sorted(shared.items())
            ),
            seen_first=tuple(
                SeenFirst(index=index, id=name.hex(), count=count)
                for (index, name), count in sorted(seen_first.items())
            ),
        )

    def _article(self, name: bytes) -> Known | None:
        stored = self._store.get(b"a" + name)
        if stored is None:
            return None
        revision, offset, time, total = _HEAD.unpack_from(stored)
        return Known(revision, offset, Owner(time, name, total), tuple(_MARK.iter_unpack(stored[_HEAD.size :])))

    def _put_article(self, known: Known) -> None:
        owner = known.owner
        head = _HEAD.pack(known.revision, known.offset, owner.time, owner.total)
        self._store.put(b"a" + owner.id, head + b"".join(_MARK.pack(*mark) for mark in known.marks))

    def _owners(self, value: bytes, period: int) -> list[Owner]:
        key = _key(value, period)
        if (owners := self._seen.get(key)) is None:
            stored = self._store.get(key)
            # Each is asked for several times while one article is taken.
            owners = self._seen[key] = [Owner(*each) for each in _OWNER.iter_unpack(stored)] if stored else []
        return owners

    def _put_owners(self, value: bytes, period: int, owners: Sequence[Owner]) -> None:
        self._seen[_key(value, period)] = list(owners)
        if owners:
            packed = b"".join(_OWNER.pack(each.time, each.id, each.total) for each in owners)
            self._store.put(_key(value, period), packed)
        else:
            self._store.delete(_key(value, period))


def _key(value: bytes, period: int) -> bytes:
    return b"f" + value + period.to_bytes(4, signed=True)


def _time(microseconds: int) -> datetime:
    return _EPOCH + microseconds * _MICROSECOND


# ---------------------------------------------------------------- its story


@dataclass
class Home:
    """What is remembered of an article's story."""

    overlaps: dict[str, Any] = field(default_factory=dict)
    """Partition -> total, counts, shared, seen first; empty for an article that only others spoke of."""
    leader: str = ""
    told: str = ""
    """The story of the leader, as it said."""
    followers: list[str] = field(default_factory=list)
    last: str = ""
    """The story as it was last written."""


class Stories:
    """One partition of the articles, by their ids: the story of each.

    An article follows its leader: the earliest of the articles that share enough of its text. The story of an
    article that leads itself has its own id, and that of any other the id of its leader's story. News of a story go
    from earlier to later articles alone, so that they always come to an end.
    """

    def __init__(self, store: Store, partitions: int, threshold: float = 0.35, min_shared: int = 2) -> None:
        """`partitions` of the fingerprints: an article has its first story when all have spoken of it.

        `threshold`: share of the shorter article's fingerprints that the other one has too.

        In 3,997 labelled articles, of which 1,861 are copies in six kinds, all copies and nothing else are linked
        from 0.35 to 0.40; at 0.30 the first two reports on one event are, and at 0.45 the first copies are lost.
        """
        self._store, self._partitions = store, partitions
        self._threshold, self._min_shared = threshold, min_shared

    def take(self, record: Overlap | Follow | Leads) -> tuple[list[Follow | Leads], list[Story]]:
        """Records for other articles, and the article's story where it is new or has changed."""
        home = self._home(record.id)
        before = self._story_id(record.id, home)
        out: list[Follow | Leads] = []
        if isinstance(record, Follow):
            if record.follower not in home.followers:
                home.followers.append(record.follower)
            out.append(Leads(id=record.follower, leader=record.id, story_id=before))
        elif isinstance(record, Leads):
            if record.leader == home.leader:
                home.told = record.story_id
        else:
            out += self._sum_up(home, record)
        after = self._story_id(record.id, home)
        if after != before:
            out += [Leads(id=each, leader=record.id, story_id=after) for each in home.followers]
        stories = []
        if len(home.overlaps) == self._partitions:
            story = self._story(record.id, home)
            if (text := story.model_dump_json(exclude_defaults=True)) != home.last:
                home.last = text
                stories.append(story)
        self._store.put(b"s" + bytes.fromhex(record.id), json.dumps(list(vars(home).values())).encode())
        return out, stories

    def _sum_up(self, home: Home, record: Overlap) -> list[Follow | Leads]:
        home.overlaps[str(record.partition)] = [
            record.total,
            record.counts,
            [(each.id, each.time.timestamp(), each.total, each.count) for each in record.shared],
            [(each.index, each.id, each.count) for each in record.seen_first],
        ]
        counts: Counter[str] = Counter()
        others: dict[str, tuple[float, int]] = {}
        for _, _, shared, _ in home.overlaps.values():
            for name, time, total, count in shared:
                counts[name] += count
                others[name] = (time, total)
        near = [
            (time, name)
            for name, (time, total) in others.items()
            if counts[name] >= max(self._min_shared, self._threshold * min(record.total, total))
        ]
        leader = min(near)[1] if near else ""
        if leader == home.leader:
            return []
        home.leader, home.told = leader, ""
        return [Follow(id=leader, follower=record.id)] if leader else []

    def _story_id(self, name: str, home: Home) -> str:
        return home.told or home.leader or name

    def _story(self, name: str, home: Home) -> Story:
        total = max(overlap[0] for overlap in home.overlaps.values())
        counts: Counter[int] = Counter()
        seen: Counter[tuple[int, str]] = Counter()
        for _, mine, _, seen_first in home.overlaps.values():
            for index, count in mine:
                counts[index] += count
            for index, other, count in seen_first:
                seen[index, other] += count
        return Story(
            id=name,
            story_id=self._story_id(name, home),
            duplicate_of=home.leader or None,
            originality=round(1 - seen.total() / total, 4) if total else 1.0,
            paragraphs=tuple(
                SeenParagraph(index=index, id=other, share=round(count / counts[index], 4))
                for (index, other), count in sorted(seen.items())
                if 2 * count >= counts[index]
            ),
        )

    def _home(self, name: str) -> Home:
        stored = self._store.get(b"s" + bytes.fromhex(name))
        return Home(*json.loads(stored)) if stored else Home()


# ---------------------------------------------------------------- all of it in one process


class Links:
    """The three steps without Kafka, each record handled at once: for a dry run."""

    def __init__(
        self, window: timedelta, threshold: float = 0.35, min_shared: int = 2, most_owners: int = 32
    ) -> None:
        self._shard = Shard(0, MemoryStore(), window, most_owners)
        self._stories = Stories(MemoryStore(), 1, threshold, min_shared)
        self._offset = 0

    def add(self, article: DedupedArticle) -> dict[str, Story]:
        """The stories that this article changes, its own among them, by article id."""
        self._offset += 1
        changed: dict[str, Story] = {}
        left: deque[Overlap | Follow | Leads] = deque()
        for record in spread(article, self._offset, 1).values():
            left += self._shard.take(record)
        while left:
            out, stories = self._stories.take(left.popleft())
            left += out
            changed |= {story.id: story for story in stories}
        return changed
