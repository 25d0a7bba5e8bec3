"""Merge a sealed LoRA adapter (PEFT layout) into the base's weights: W + (alpha / r) · B A."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch

_NAME = re.compile(r"^(?:base_model\.model\.)?(?P<module>.+)\.lora_(?P<part>[AB])(?:\.default)?\.weight$")


def adapter_merge(model: Any, folder: Path) -> None:
    """Add the adapter to `model` in place. Names and shapes were checked when it was sealed."""
    from safetensors.torch import load_file  # noqa: PLC0415 - loads torch

    config = json.loads((folder / "adapter_config.json").read_text())
    rank = int(config["r"])
    scale = float(config.get("lora_alpha", rank)) / (rank**0.5 if config.get("use_rslora") else rank)
    pairs: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in load_file(folder / "adapter_model.safetensors").items():
        match = _NAME.match(name)
        if match:
            pairs.setdefault(match["module"], {})[match["part"]] = tensor.to(torch.float32)
    with torch.no_grad():
        for module, parts in pairs.items():
            weight = model.get_submodule(module).weight
            delta = parts["B"] @ parts["A"]
            weight += scale * (delta.T if config.get("fan_in_fan_out") else delta)
