"""Reads the header of a safetensors file without trusting a byte of it."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from typing import IO, Any

#: Bytes of one element, for the types of the format that a model is stored in.
ITEM_BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U64": 8,
    "U32": 4,
    "U16": 2,
    "U8": 1,
    "BOOL": 1,
}
FLOATS = frozenset({"F64", "F32", "F16", "BF16"})

#: The format itself allows 100 MB, which as JSON would be gigabytes of Python objects.
HEADER_BYTES = 16 << 20
_MAX_DIMENSIONS = 8


class HeaderError(ValueError):
    """The header is not one that every reader of the format would read the same way."""


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of a file; `begin` and `end` are byte offsets from the start of the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def dtype_class(self) -> str:
        """float, integer or boolean: what may replace what."""
        if self.dtype in FLOATS:
            return "float"
        return "boolean" if self.dtype == "BOOL" else "integer"


def header_read(file: IO[bytes], size_bytes: int) -> dict[str, TensorInfo]:
    """Tensors by name, in the order of their data. Raises `HeaderError`.

    Strict, so that no two readers can disagree on what the file says: no name twice, no unknown field, data without
    holes or overlaps, ending where the file ends.
    """
    prefix = file.read(8)
    if len(prefix) != 8:
        raise HeaderError(f"is {size_bytes} bytes long: too short for a safetensors file")
    (length,) = struct.unpack("<Q", prefix)
    if length > HEADER_BYTES or length > size_bytes - 8:
        raise HeaderError(f"announces a header of {length} bytes in a file of {size_bytes} (cap {HEADER_BYTES})")
    raw = file.read(length)
    if not raw.startswith(b"{"):
        raise HeaderError("has a header that does not begin with `{`")
    try:
        header = json.loads(raw.decode(), object_pairs_hook=_no_doubles, parse_constant=_no_constant)
    except (UnicodeDecodeError, RecursionError, json.JSONDecodeError) as error:
        raise HeaderError(f"has a header that is not JSON: {error}") from None
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise HeaderError("has a __metadata__ that is not a table of strings")
    tensors = {name: _tensor(name, value, 8 + length) for name, value in header.items()}
    ordered = dict(sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)))
    position = 8 + length
    for name, info in ordered.items():
        if info.begin != position:
            raise HeaderError(f"tensor {name!r} begins at {info.begin}, not where the one before ends ({position})")
        position = info.end
    if position != size_bytes:
        raise HeaderError(f"has {size_bytes} bytes where its tensors end at {position}")
    return ordered


def _tensor(name: str, value: Any, offset: int) -> TensorInfo:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise HeaderError(f"tensor {name!r} must have exactly dtype, shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise HeaderError(f"tensor {name!r} has type {dtype!r}; allowed are {', '.join(ITEM_BYTES)}")
    if not _counts(shape) or len(shape) > _MAX_DIMENSIONS:
        raise HeaderError(f"tensor {name!r} has shape {str(shape)[:80]}: not a list of at most 8 sizes")
    if not _counts(offsets) or len(offsets) != 2:
        raise HeaderError(f"tensor {name!r} has data_offsets {str(offsets)[:80]}: not two positions")
    begin, end = offsets
    if end - begin != math.prod(shape) * ITEM_BYTES[dtype]:
        raise HeaderError(f"tensor {name!r} of shape {shape} and type {dtype} cannot be {end - begin} bytes long")
    return TensorInfo(dtype, tuple(shape), offset + begin, offset + end)


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**48 for item in value)


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise HeaderError("has a header that names a key twice")
    return table


def _no_constant(name: str) -> Any:
    raise HeaderError(f"has a header with {name}")
