"""Merge a sealed LoRA adapter (PEFT layout) into the base's weights, so that its logits are those of PEFT.

W + s B A for a linear layer; with DoRA m / ‖W + s B A‖ times that, the norm over each row (Liu et al. 2024); for a
table of embeddings W + s (B A)ᵀ. What PEFT saves whole takes the place of the base's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from evaluator.contract.lora import SAVED, scale, tensor_of

Parts = dict[str, torch.Tensor]


def adapter_merge(model: Any, folder: Path) -> None:
    """Add the adapter to `model` in place. Names and shapes were checked when it was sealed.

    Each side of a tied table is moved by its own tensors only, so a tied output layer that the adapter moves, or whose
    table it moves, gets weights of its own. With `ensure_weight_tying` PEFT writes the same tensors for both sides.
    """
    from safetensors.torch import load_file  # noqa: PLC0415 - loads torch

    config = json.loads((folder / "adapter_config.json").read_text())
    modules: dict[str, Parts] = {}
    saved: Parts = {}
    for name, tensor in load_file(folder / "adapter_model.safetensors").items():
        if found := tensor_of(name):
            value = tensor.to(torch.float32)
            if found.part == SAVED:
                saved[found.module] = value
            else:
                modules.setdefault(found.module, {})[found.part] = value
    with torch.no_grad():
        for module, parts in modules.items():
            if "copy" in parts:
                model.get_submodule(module).weight.copy_(parts["copy"])
        _untie(model, {*modules, *(name.removesuffix(".weight") for name in saved)})
        own = model.state_dict()
        for name, value in saved.items():
            own[name].copy_(value)
        for module, parts in modules.items():
            _layer_merge(model.get_submodule(module).weight, parts, config, module)


def _layer_merge(weight: torch.Tensor, parts: Parts, config: dict[str, Any], module: str) -> None:
    table = "embedding_A" in parts
    A, B = (parts["embedding_A"], parts["embedding_B"]) if table else (parts["A"], parts["B"])
    delta = scale(config, module, A.shape[0]) * (B @ A)
    weight += delta.T if table else delta
    if "magnitude" in parts:
        weight *= (parts["magnitude"] / torch.linalg.norm(weight, dim=1)).unsqueeze(1)


def _untie(model: Any, moved: set[str]) -> None:
    head, table = model.get_output_embeddings(), model.get_input_embeddings()
    sides = {name for name, module in model.named_modules() if module is head or module is table}
    if head is not None and head.weight is table.weight and moved & sides:
        head.weight = torch.nn.Parameter(head.weight.detach().clone(), requires_grad=head.weight.requires_grad)
        model.config.tie_word_embeddings = False
