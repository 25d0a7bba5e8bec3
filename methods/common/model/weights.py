"""Weights on disk: only the tensors that changed, with the names, shapes and types of the base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from methods.common.contract.errors import MethodError


def changed_weights_save(model: Any, base_dir: Path, output_dir: Path, *, at_least: str | None = None) -> list[str]:
    """Write `model/changed.safetensors` and return the names written, sorted.

    A tensor counts as changed when it differs after the cast to the base's own type. `at_least` names
    a tensor to write even if nothing changed (an artifact may not be empty). Raises `MethodError`
    when a tensor is not finite or nothing changed.
    """
    state = dict(model.state_dict())
    changed: dict[str, Tensor] = {}
    for path in _weight_files(base_dir):
        with safe_open(path, framework="pt") as file:
            for name in sorted(file.keys()):
                own = _own_name(name, state, model)
                if own is None:
                    continue
                before = file.get_tensor(name)
                after = state[own].detach().to("cpu", before.dtype)
                if not bool(torch.isfinite(after).all()):
                    raise MethodError(name, "NaN or infinity", "is not finite", "lower the learning rate or the step")
                if name == at_least or not torch.equal(before, after):
                    changed[name] = after.contiguous()
    if not changed:
        raise MethodError("model", "", "has no changed tensor", "train for at least one step")
    (output_dir / "model").mkdir(parents=True, exist_ok=True)
    save_file(dict(sorted(changed.items())), output_dir / "model" / "changed.safetensors", metadata={"format": "pt"})
    return sorted(changed)


def weights_overlay(model: Any, folder: Path) -> None:
    """Put the tensors of `folder/*.safetensors` over the model's own, in place."""
    state = dict(model.state_dict())
    for path in sorted(folder.glob("*.safetensors")):
        for name, tensor in load_file(path).items():
            own = _own_name(name, state, model)
            if own is None:
                raise MethodError(f"prev/{path.name}", name, "is not a tensor of the base", "use the same base")
            state[own].copy_(tensor)


def smallest_tensor(base_dir: Path) -> str:
    """The name of the base's smallest tensor, the first in name order among equals."""
    sizes: list[tuple[int, str]] = []
    for path in _weight_files(base_dir):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - a safetensors file is not a mapping
                shape = file.get_slice(name).get_shape()
                sizes.append((int(torch.Size(shape).numel()), name))
    return min(sizes)[1]


def tensor_read(base_dir: Path, name: str) -> Tensor:
    """One tensor of the base, in its own type."""
    for path in _weight_files(base_dir):
        with safe_open(path, framework="pt") as file:
            if name in file.keys():  # noqa: SIM118
                tensor: Tensor = file.get_tensor(name)
                return tensor
    raise MethodError("base", name, "is not a tensor of the base", "name one of its tensors")


def tensor_before(model: Any, base_dir: Path, parameter: Tensor) -> Tensor:
    """What the base itself has for a parameter of the model, in float32 on the parameter's device."""
    state = dict(model.state_dict())
    for path in _weight_files(base_dir):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                own = _own_name(name, state, model)
                if own is not None and state[own].data_ptr() == parameter.data_ptr():
                    tensor: Tensor = file.get_tensor(name)
                    return tensor.to(parameter)
    raise MethodError("base", str(base_dir), "lacks a tensor of its own model", "give the complete base")


def _weight_files(base_dir: Path) -> list[Path]:
    files = sorted(base_dir.glob("*.safetensors"))
    if not files:
        raise MethodError("base", str(base_dir), "has no safetensors file", "convert the base to safetensors")
    return files


def _own_name(name: str, state: dict[str, Tensor], model: Any) -> str | None:
    """The state-dict name of a tensor of the file; some files leave the trunk's prefix out."""
    prefix = f"{model.base_model_prefix}."
    for candidate in (name, prefix + name, name.removeprefix(prefix)):
        if candidate in state:
            return candidate
    return None
