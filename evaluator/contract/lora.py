"""How PEFT names what a LoRA adapter holds, and which setting holds for which layer: one reading for seal and merge."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

PREFIX = "base_model.model."
#: The output layer, which many base models tie to their table of embeddings.
HEAD = "lm_head"
#: Ends of names by what the tensor is: low-rank factors of a linear layer and of a table, the magnitudes of DoRA, and
#: the copy of the base's own weight that PEFT lays beside the adapter of a table.
PARTS = {
    ".lora_A.weight": "A",
    ".lora_B.weight": "B",
    ".lora_embedding_A": "embedding_A",
    ".lora_embedding_B": "embedding_B",
    ".lora_magnitude_vector": "magnitude",
    ".base_layer.weight": "copy",
}
#: A whole tensor of a module that `modules_to_save` names.
SAVED = "saved"

#: A pattern is a regular expression of a stranger's: names, dots, layer numbers and at most two choices can't be slow.
_PLAIN = re.compile(r"\^?(?:[A-Za-z0-9_.-]|\\\.|\\d\+?|\[0-9\]\+?|\((?:\?:)?[A-Za-z0-9_]+(?:\|[A-Za-z0-9_]+)*\))+\$?")
_PATTERN_CHARS = 120
_FIRST_INDEX = re.compile(r".*?\.[^.]*\.(\d+)\.")


@dataclass(frozen=True)
class AdapterTensor:
    """`module` is the layer that a part belongs to; of a saved tensor, the tensor's own name in the base."""

    module: str
    part: str


def tensor_of(name: str) -> AdapterTensor | None:
    """What a tensor of `adapter_model.safetensors` is; `None` for a name that PEFT does not give."""
    if not name.startswith(PREFIX):
        return None
    bare = name.removeprefix(PREFIX)
    for end, part in PARTS.items():
        if bare.endswith(end) and len(bare) > len(end):
            return AdapterTensor(bare.removesuffix(end), part)
    return None if "lora_" in bare or "base_layer" in bare else AdapterTensor(bare, SAVED)


def pattern_plain(pattern: str) -> bool:
    """Whether a key of `rank_pattern` or `alpha_pattern` may be matched here."""
    return len(pattern) <= _PATTERN_CHARS and pattern.count("(") <= 2 and _PLAIN.fullmatch(pattern) is not None


def pattern_value(patterns: Mapping[str, Any], module: str, default: Any) -> Any:
    """The first key that ends the layer's name decides, as in `peft.utils.other.get_pattern_key`."""
    return next((value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", module)), default)


def named(names: Iterable[str], module: str) -> bool:
    """Whether a list such as `target_modules` names the layer: whole, or the end of its path."""
    return any(module == name or module.endswith(f".{name}") for name in names)


def saves(names: Iterable[str], tensor: str) -> bool:
    """Whether `modules_to_save` names a module that holds the tensor; PEFT compares the ends of paths."""
    parts = tensor.split(".")[:-1]
    return any(".".join(parts[:count]).endswith(name) for count in range(1, len(parts) + 1) for name in names)


def layer_chosen(config: Mapping[str, Any], module: str) -> bool:
    """Whether `layers_to_transform` chooses the layer, by the first number of its path (behind `layers_pattern`)."""
    wanted, patterns = config.get("layers_to_transform"), config.get("layers_pattern") or []
    if wanted is None or wanted == []:
        return True
    indices = [wanted] if isinstance(wanted, int) else wanted
    found = None
    if patterns:
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            if found := re.match(rf"(?:^|.*?\.){pattern}\.(\d+)\.", module):
                break
    else:
        found = _FIRST_INDEX.match(module)
    return found is not None and int(found[1]) in indices


def scale(config: Mapping[str, Any], module: str, rank: int) -> float:
    """What B A is multiplied by: alpha / r, or alpha / √r with `use_rslora`."""
    alpha = float(pattern_value(config.get("alpha_pattern") or {}, module, config["lora_alpha"]))
    return alpha / (rank**0.5 if config.get("use_rslora") else rank)
