"""Tensors of a server's state, or of a baked training, in files of the safetensors format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from methods.common.contract.errors import MethodError


def tensors_save(
    folder: Path, name: str, tensors: Mapping[str, Tensor], *, about: Mapping[str, Any] | None = None
) -> None:
    """Write `NAME.safetensors` in one step, with `about` in its header.

    Raises `MethodError` when a number is not finite.
    """
    for key, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise MethodError(f"{name}.{key}", "NaN or infinity", "is not finite", "lower the learning rate")
    path = folder / f"{name}.safetensors"
    partial = path.with_name(path.name + ".part")
    header = None if about is None else {"about": json.dumps(about, sort_keys=True)}
    save_file({key: tensor.detach().cpu().contiguous() for key, tensor in sorted(tensors.items())}, partial, header)
    partial.replace(path)


def tensors_load(folder: Path, name: str) -> dict[str, Tensor]:
    """The tensors of `NAME.safetensors`. Raises `MethodError` when it is missing."""
    path = folder / f"{name}.safetensors"
    if not path.is_file():
        raise MethodError(path.name, str(path), "is missing", "give the state that this method's `unlearn` wrote")
    return dict(load_file(path))


def about_load(path: Path) -> dict[str, Any]:
    """What `tensors_save` was told about the tensors of this file. Raises `MethodError` when it was told nothing."""
    with safe_open(path, framework="pt") as file:
        text = (file.metadata() or {}).get("about", "")
    try:
        about = json.loads(text)
    except ValueError:
        about = None
    if not isinstance(about, dict):
        raise MethodError(path.name, text, "does not say what it was made for", "make the file again")
    return about
