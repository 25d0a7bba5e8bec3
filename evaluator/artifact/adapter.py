"""What a LoRA adapter may say: plain low-rank updates of linear layers, nothing that the platform would not merge."""

from __future__ import annotations

import json
import re
from typing import Any

from evaluator.artifact.base_tensors import BaseTensors
from evaluator.artifact.header import TensorInfo
from evaluator.artifact.walk import refuse
from evaluator.contract import FailureCode

MAX_RANK = 64
CONFIG = "adapter/adapter_config.json"

_TENSOR = re.compile(r"^base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight$")
#: Read by the platform.
_USED = frozenset({"peft_type", "r", "lora_alpha", "use_rslora", "bias", "target_modules"})
#: Say nothing about the merged weights.
_IGNORED = frozenset(
    {
        "base_model_name_or_path",
        "inference_mode",
        "init_lora_weights",
        "lora_dropout",
        "peft_version",
        "revision",
        "task_type",
    }
)


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
        raise _wrong("peft_type", config.get("peft_type"), "must be LORA")
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if type(rank) is not int or not 1 <= rank <= MAX_RANK:
        raise _wrong("r", rank, f"must be a whole number from 1 to {MAX_RANK}")
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha <= 1e4:
        raise _wrong("lora_alpha", alpha, "must be a number above 0, at most 10,000")
    if config.get("bias", "none") != "none":
        raise _wrong("bias", config["bias"], 'must be "none"')
    if not isinstance(config.get("use_rslora", False), bool):
        raise _wrong("use_rslora", config["use_rslora"], "must be true or false")
    for key, value in config.items():
        # peft writes the settings of runtimes and of other adapter kinds too, all off.
        if key not in _USED | _IGNORED and value not in (None, False, 0, "", [], {}):
            raise _wrong(key, value, "is not part of a plain LoRA; leave it out or off")
    return config


def tensors_check(tensors: dict[str, TensorInfo], rank: int, base: BaseTensors) -> None:
    """Pairs A [rank, in], B [out, rank] for linear layers of the base. Raises `EvaluationFailed(output_refused)`."""
    modules: dict[str, dict[str, TensorInfo]] = {}
    for name, info in tensors.items():
        match = _TENSOR.match(name)
        if match is None:
            raise refuse(f"adapter tensor {name!r} is not named base_model.model.<module>.lora_A|lora_B.weight")
        if info.dtype_class != "float":
            raise refuse(f"adapter tensor {name!r} has type {info.dtype}; it must be a float")
        modules.setdefault(match["module"], {})[match["side"]] = info
    if not modules:
        raise refuse("the adapter holds no tensor", FailureCode.OUTPUT_MISSING)
    for module, sides in modules.items():
        if set(sides) != {"A", "B"}:
            raise refuse(f"adapter module {module!r} has only lora_{next(iter(sides))}")
        target = f"{module}.weight"
        if not base.is_linear(target):
            raise refuse(f"adapter module {module!r} is not a linear layer of the base model")
        rows, columns = base.tensors[target].shape
        wanted = {"A": (rank, columns), "B": (rows, rank)}
        for side, shape in wanted.items():
            if sides[side].shape != shape:
                raise refuse(f"adapter module {module!r}: lora_{side} is {list(sides[side].shape)}, not {list(shape)}")


def _wrong(key: str, value: Any, problem: str) -> Exception:
    return refuse(f"{CONFIG}: {key} is {str(value)[:80]!r}: it {problem}")
