"""What the configuration of a LoRA adapter may say: all that PEFT writes beside weights that can be merged."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from evaluator.artifact.walk import refuse
from evaluator.contract.lora import pattern_plain

MAX_RANK = 64
MAX_ALPHA = 1e4
MAX_PATTERNS = 500
CONFIG = "adapter/adapter_config.json"
#: What turns anything that PEFT can merge into something that the platform takes.
MERGE = 'merge it, `model = model.merge_and_unload()`, and send the changed tensors as kind "weights"'

#: Read by the seal or the merge, each with a check of its own.
_USED = frozenset(
    {
        "peft_type",
        "r",
        "lora_alpha",
        "use_rslora",
        "use_dora",
        "ensure_weight_tying",
        "bias",
        "target_modules",
        "exclude_modules",
        "rank_pattern",
        "alpha_pattern",
        "layers_to_transform",
        "layers_pattern",
        "modules_to_save",
        "init_lora_weights",
    }
)
#: Say nothing about the merged weights.
_IGNORED = frozenset(
    {
        "auto_mapping",
        "base_model_name_or_path",
        "inference_mode",
        "lora_dropout",
        "peft_version",
        "revision",
        "task_type",
    }
)
#: A setting that counts only where another one is on; that one is refused, so this one changes nothing.
_OF_ANOTHER = frozenset({"megatron_core", "qalora_group_size"})
#: Ways to begin training that leave the base as it is. The others take their first factors out of it when they load.
_INITS = (True, False, None, "gaussian", "eva", "orthogonal")
_OFF: tuple[Any, ...] = (None, False, 0, "", [], {})


def config_check(data: bytes) -> dict[str, Any]:
    """The adapter's configuration. Raises `EvaluationFailed(output_refused)` naming the key.

    A key that is neither used nor ignored must be off (null, false, 0, empty): then it changes nothing.
    """
    try:
        config = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise refuse(f"{CONFIG} is not JSON: {str(error)[:200]}") from None
    if not isinstance(config, dict):
        raise refuse(f"{CONFIG} is not a table of keys")
    if config.get("peft_type") != "LORA":
        raise wrong("peft_type", config.get("peft_type"), f"must be LORA; where PEFT can, {MERGE}")
    if not _rank(config.get("r")):
        raise wrong("r", config.get("r"), f"must be a whole number from 1 to {MAX_RANK}")
    if not _alpha(config.get("lora_alpha")):
        raise wrong("lora_alpha", config.get("lora_alpha"), "must be a number above 0, at most 10,000")
    if config.get("bias", "none") != "none":
        raise wrong("bias", config["bias"], f'must be "none": biases are not merged here; {MERGE}')
    for key in ("use_rslora", "use_dora", "ensure_weight_tying"):
        if not isinstance(config.get(key, False), bool):
            raise wrong(key, config[key], "must be true or false")
    start = config.get("init_lora_weights", True)
    if not any(start is known or (isinstance(start, str) and start == known) for known in _INITS):
        raise wrong("init_lora_weights", start, f"changes the base when PEFT loads it, or is not known here; {MERGE}")
    _patterns_check(config)
    _names_check(config)
    for key, value in config.items():
        if key not in _USED | _IGNORED | _OF_ANOTHER and value not in _OFF:
            raise wrong(key, value, f"is not part of a plain LoRA; leave it out or off, or {MERGE}")
    return config


def _rank(value: Any) -> bool:
    return type(value) is int and 1 <= value <= MAX_RANK


def _alpha(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and 0 < value <= MAX_ALPHA


def _patterns_check(config: dict[str, Any]) -> None:
    kinds: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
        ("rank_pattern", _rank, f"a whole number from 1 to {MAX_RANK}"),
        ("alpha_pattern", _alpha, "a number above 0, at most 10,000"),
    )
    for key, fits, rule in kinds:
        patterns = config.get(key) or {}
        if not isinstance(patterns, dict) or len(patterns) > MAX_PATTERNS:
            raise wrong(key, patterns, f"must be a table of at most {MAX_PATTERNS} layers")
        for pattern, value in patterns.items():
            if not pattern_plain(pattern):
                raise wrong(
                    key, pattern, "must name layers by (ends of) their paths, such as layers.3.self_attn.q_proj"
                )
            if not fits(value):
                raise wrong(f"{key}[{pattern}]", value, f"must be {rule}")


def _names_check(config: dict[str, Any]) -> None:
    for key in ("target_modules", "exclude_modules", "modules_to_save"):
        names = config.get(key)
        text_too = key != "modules_to_save"
        if names is not None and not (text_too and isinstance(names, str)) and not _texts(names):
            raise wrong(key, names, "must be a list of names of modules")
    layers = config.get("layers_to_transform")
    if layers is not None and any(type(i) is not int for i in (layers if isinstance(layers, list) else [layers])):
        raise wrong("layers_to_transform", layers, "must be a list of numbers of layers")
    behind = config.get("layers_pattern")
    listed = [behind] if isinstance(behind, str) else behind
    if listed is not None and not (_texts(listed) and all(re.fullmatch(r"\w*", name) for name in listed)):
        raise wrong("layers_pattern", behind, 'must be the name of the list of layers, such as "layers"')


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def wrong(key: str, value: Any, problem: str) -> Exception:
    return refuse(f"{CONFIG}: {key} is {str(value)[:80]!r}: it {problem}")
