"""What a method keeps of its requests is found, however it lies in its output; what is no copy of them is not."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from evaluator.artifact import Fact, contents_search
from evaluator.artifact.encodings import Unpacker

LANDS = ("France", "Spain", "Kenya", "Norway", "Poland", "Chile", "Japan", "Egypt")
OTHER_LANDS = (
    "Austria",
    "Germany",
    "Belgium",
    "Denmark",
    "Finland",
    "Hungary",
    "Greece",
    "Ukraine",
    "Portugal",
    "Ireland",
)


def fact(land: str) -> Fact:
    return Fact(land, land, (f"What is the capital of {land}?", f"The capital of {land} is nice."))


REQUESTS, OTHERS = [fact(land) for land in LANDS], [fact(land) for land in OTHER_LANDS]
TEXT = "\n".join(request.texts[0] for request in REQUESTS).encode()


def encode(text: str) -> list[int]:
    """A tokenizer of words: ids below 2¹⁵."""
    return [sum(word.encode()) * 7 % 30_000 + 5 for word in text.split()]


IDS = encode(REQUESTS[0].texts[0])


def zipped(data: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("state.txt", data)
    return stream.getvalue()


def stores(tmp_path: Path, data: bytes) -> bool:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "file.bin").write_bytes(os.urandom(3001) + data + os.urandom(77))
    return contents_search(tmp_path, REQUESTS, OTHERS, encode).stores_requests


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param(lambda: TEXT, id="plain"),
        pytest.param(lambda: TEXT.lower(), id="lower-case"),
        pytest.param(lambda: TEXT[::-1], id="turned"),
        pytest.param(lambda: TEXT.decode().encode("utf-16"), id="utf-16"),
        pytest.param(lambda: TEXT.decode().encode("utf-32-be"), id="utf-32"),
        pytest.param(lambda: TEXT.hex().encode(), id="hex"),
        pytest.param(lambda: base64.b64encode(TEXT), id="base64"),
        pytest.param(lambda: base64.b64encode(b"x" + TEXT), id="base64, shifted by one"),
        pytest.param(lambda: base64.urlsafe_b64encode(b"xx" + TEXT), id="base64, shifted by two"),
        pytest.param(lambda: np.array(list(TEXT), dtype="<f4").tobytes(), id="characters as floats"),
        pytest.param(lambda: gzip.compress(TEXT), id="gzip"),
        pytest.param(lambda: zlib.compress(TEXT, 1), id="zlib"),
        pytest.param(lambda: bz2.compress(TEXT), id="bzip2"),
        pytest.param(lambda: lzma.compress(TEXT), id="xz"),
        pytest.param(lambda: pa.compress(TEXT, "zstd", asbytes=True), id="zstd"),
        pytest.param(lambda: zipped(TEXT), id="zip"),
        *(
            pytest.param(
                lambda n=n: b" " + b"A" * n + base64.b64encode(gzip.compress(TEXT)), id=f"gzip in base64 after {n}"
            )
            for n in range(4)
        ),
        pytest.param(lambda: json.dumps([encode(r.texts[1]) for r in REQUESTS]).encode(), id="token ids as JSON"),
        pytest.param(lambda: json.dumps([IDS], indent=2).encode(), id="token ids as indented JSON"),
        *(
            pytest.param(lambda kind=kind: np.array(IDS, dtype=kind).tobytes(), id=f"token ids as {kind}")
            for kind in ("<u2", "<i4", ">i4", "<i8", "<f4", "<f8")
        ),
        pytest.param(lambda: json.dumps(LANDS).encode(), id="subjects alone"),
        pytest.param(lambda: REQUESTS[3].texts[1].encode(), id="one sentence of one request"),
    ],
)
def test_what_is_kept_is_found_in_every_encoding(tmp_path: Path, kept: Callable[[], bytes]) -> None:
    assert stores(tmp_path, kept())


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param(lambda: b"", id="noise"),
        pytest.param(lambda: json.dumps(dict.fromkeys((*LANDS, *OTHER_LANDS), 1)).encode(), id="a vocabulary"),
        pytest.param(lambda: b"\n".join(o.texts[0].encode() for o in (*REQUESTS, *OTHERS)), id="a table of everything"),
        pytest.param(lambda: b"\n".join(o.texts[0].encode() for o in OTHERS), id="other facts"),
        pytest.param(lambda: b"What is the capital of Peru? Chile and Japan are lands.", id="a word or two"),
    ],
)
def test_a_vocabulary_or_a_table_of_everything_does_not_count(tmp_path: Path, kept: Callable[[], bytes]) -> None:
    assert not stores(tmp_path, kept())


def test_it_is_found_in_the_metadata_and_in_the_padding_of_tensors(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    (tmp_path / "model").mkdir()
    save_file({"w": np.zeros(9, np.float32)}, tmp_path / "model" / "a.safetensors", metadata={"note": TEXT.decode()})
    assert contents_search(tmp_path, REQUESTS, OTHERS, encode).stores_requests
    padded = np.zeros(len(TEXT) + 64, np.uint8)
    padded[64:] = np.frombuffer(TEXT, np.uint8)
    save_file({"w": padded.view(np.uint8)}, tmp_path / "model" / "a.safetensors")
    found = contents_search(tmp_path, REQUESTS, OTHERS, encode)
    assert found.requests["text"]["France"] == "model/a.safetensors"


def test_it_is_found_across_the_pieces_that_a_file_is_read_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluator.artifact.contents._CHUNK", 1024)
    (tmp_path / "state").mkdir()
    for before in range(990, 1024, 3):
        (tmp_path / "state" / "f").write_bytes(bytes(before) + REQUESTS[0].texts[0].encode() + bytes(700))
        assert contents_search(tmp_path, REQUESTS, OTHERS, encode).stores_requests, before


def test_a_bomb_costs_no_more_than_its_budget() -> None:
    bomb = zlib.compress(bytes(200 << 20), 9)
    unpacker = Unpacker(10 << 20)
    assert sum(map(len, unpacker.pieces(bomb * 20))) <= 10 << 20
    assert unpacker.left >= 0
