"""Looks for NaN and infinity in tensor data as stored, a few megabytes at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from evaluator.artifact.header import ITEM_BYTES

#: A float whose exponent bits are all ones is NaN or infinity; so every type is one mask over whole numbers,
#: bfloat16 too, which numpy has no type for.
_EXPONENT: dict[str, tuple[npt.DTypeLike, int]] = {
    "BF16": ("<u2", 0x7F80),
    "F16": ("<u2", 0x7C00),
    "F32": ("<u4", 0x7F800000),
    "F64": ("<u8", 0x7FF0000000000000),
}


def all_finite(dtype: str, data: bytes | memoryview) -> bool:
    """Whether every element of `data` is finite. `data` holds whole elements; types that are not floats always are."""
    if dtype not in _EXPONENT or len(data) == 0:
        return True
    stored, mask = _EXPONENT[dtype]
    words = np.frombuffer(data, dtype=stored)
    bits = words.dtype.type(mask)
    return not bool(np.any((words & bits) == bits))


def chunk_bytes(dtype: str, at_most: int = 4 << 20) -> int:
    """The largest whole number of elements under `at_most` bytes."""
    return at_most - at_most % ITEM_BYTES[dtype]
