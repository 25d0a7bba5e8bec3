"""What begins as a tar is told from what does not, by whatever program it was written."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile

import pytest

from evaluator.contract import HEAD_BYTES, archive_fault


def tar_make(form: int, name: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        tar.addfile(tarfile.TarInfo(name))
    return out.getvalue()


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", ["oci-layout", "blobs/sha256/" + "a" * 64, "ü/" + "b" * 80])
def test_every_form_of_tar_is_one(form: int, name: str) -> None:
    assert archive_fault(tar_make(form, name)[:HEAD_BYTES]) is None


@pytest.mark.parametrize(
    ("pack", "tool"), [(gzip.compress, "gunzip"), (bz2.compress, "bunzip2"), (lzma.compress, "unxz")]
)
def test_what_is_packed_is_named_with_the_tool_that_unpacks_it(pack: object, tool: str) -> None:
    fault = archive_fault(pack(bytes(4000)).ljust(HEAD_BYTES, b"x"))  # type: ignore[operator]
    assert fault is not None
    assert tool in fault[1]


@pytest.mark.parametrize("at", [0, 99, 150, 257, 300])
def test_one_changed_byte_of_the_header_is_noticed(at: int) -> None:
    head = bytearray(tar_make(tarfile.GNU_FORMAT, "oci-layout")[:HEAD_BYTES])
    head[at] ^= 1
    assert archive_fault(bytes(head)) is not None


@pytest.mark.parametrize("head", [b"", b"ustar", bytes(HEAD_BYTES), b"\xff" * HEAD_BYTES])
def test_what_is_something_else_is_refused(head: bytes) -> None:
    assert archive_fault(head) is not None
