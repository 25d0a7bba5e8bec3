"""Looks through a sealed artifact for the requests that it was made from: what a method declares is measured.

Texts, subjects and token ids, in the encodings of `encodings`, in every byte of every file: state, tensors, metadata
and padding. Facts of the same release that no method is given are looked for beside them: a vocabulary or a table of
everything holds both, and does not count. What is encrypted, or changed in a way of its own, is not found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ahocorasick_rs import BytesAhoCorasick, Implementation

from evaluator.artifact.encodings import LEAST_BYTES, Unpacker, text_forms, token_forms
from evaluator.artifact.seal import MARK

Evidence = Literal["text", "subject"]
#: So surely must the requests stand out from the facts beside them.
ALPHA = 0.001
#: Characters of a text on either side of its subject that are looked for with it.
_AROUND = 10
#: Fewer tokens than this are no text.
_LEAST_TOKENS = 5
#: Shorter subjects stand anywhere.
_LEAST_SUBJECT_BYTES = 5
_CHUNK = 64 << 20
#: So much packed data of an artifact is unpacked.
_UNPACKED_BYTES = 256 << 20


@dataclass(frozen=True)
class Fact:
    """What is looked for: the texts of one request, or of a fact that no method is given."""

    name: str
    subject: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Contents:
    """Which facts were found, by the evidence: of each, the file it was found in."""

    requests: Mapping[Evidence, Mapping[str, str]]
    others: Mapping[Evidence, Mapping[str, str]]
    n_requests: int
    n_others: int

    def p(self, evidence: Evidence) -> float:
        """How likely so many of those found are requests, had they been drawn from all (hypergeometric)."""
        found, beside = len(self.requests[evidence]), len(self.others[evidence])
        drawn, whole = found + beside, self.n_requests + self.n_others
        ways = math.comb(whole, drawn)
        more = range(found, min(drawn, self.n_requests) + 1)
        return sum(math.comb(self.n_requests, k) * math.comb(self.n_others, drawn - k) for k in more) / ways

    @property
    def stores_requests(self) -> bool:
        """A text of a request where none of the others is, or requests far more often than the others."""
        alone = bool(self.requests["text"]) and not self.others["text"]
        return alone or any(self.p(evidence) < ALPHA for evidence in self.requests)


def contents_search(
    folder: Path, requests: Sequence[Fact], others: Sequence[Fact], encode: Callable[[str], Sequence[int]]
) -> Contents:
    """Every file of a sealed artifact but our own mark. `encode`: the base's tokens of a text, without special ones."""
    found: dict[tuple[Evidence, str], str] = {}
    needles: dict[bytes, tuple[Evidence, str]] = {}
    for fact in (*others, *requests):
        for evidence, form in _forms(fact, encode):
            if len(form) >= (LEAST_BYTES if evidence == "text" else _LEAST_SUBJECT_BYTES):
                needles[form] = (evidence, fact.name)
    marks = list(needles.values())
    search = BytesAhoCorasick(list(needles), implementation=Implementation.DFA)
    overlap = max(map(len, needles), default=1) - 1
    unpacker = Unpacker(_UNPACKED_BYTES)
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MARK):
        name = path.relative_to(folder).as_posix()
        for data in _pieces(path, overlap, unpacker):
            for index, _, _ in search.find_matches_as_indexes(data, overlapping=True):
                found.setdefault(marks[index], name)
    return Contents(
        _of(found, {fact.name for fact in requests}),
        _of(found, {fact.name for fact in others}),
        len(requests),
        len(others),
    )


def _of(found: Mapping[tuple[Evidence, str], str], names: set[str]) -> dict[Evidence, dict[str, str]]:
    kinds: tuple[Evidence, ...] = ("text", "subject")
    return {
        kind: {name: path for (evidence, name), path in found.items() if evidence == kind and name in names}
        for kind in kinds
    }


def _forms(fact: Fact, encode: Callable[[str], Sequence[int]]) -> Iterator[tuple[Evidence, bytes]]:
    for text in fact.texts:
        at = max(text.find(fact.subject), 0)
        yield from (("text", f) for f in text_forms(text[max(at - _AROUND, 0) : at + len(fact.subject) + _AROUND]))
        for way in (text, f" {text}"):
            if len(ids := encode(way)) >= _LEAST_TOKENS:
                yield from (("text", form) for form in token_forms(ids))
    yield from (("subject", form) for form in text_forms(fact.subject))


def _pieces(path: Path, overlap: int, unpacker: Unpacker) -> Iterator[bytes]:
    """A file in chunks that overlap, and what lies packed in each, two deep."""
    with path.open("rb") as file:
        kept = b""
        while chunk := file.read(_CHUNK):
            data = kept + chunk
            yield data
            for inner in unpacker.pieces(data):
                yield inner
                yield from unpacker.pieces(inner)
            kept = data[-overlap:] if overlap else b""
