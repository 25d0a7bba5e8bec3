"""What the tensors of a LoRA adapter may be: what PEFT would load over this base, and the platform can merge."""

from __future__ import annotations

from typing import Any

from evaluator.artifact.adapter_config import CONFIG, MERGE, wrong
from evaluator.artifact.base_tensors import BaseTensors
from evaluator.artifact.header import TensorInfo
from evaluator.artifact.walk import refuse
from evaluator.contract import FailureCode
from evaluator.contract.lora import HEAD, SAVED, layer_chosen, named, pattern_value, saves, tensor_of

TENSORS = "adapter/adapter_model.safetensors"
_LINEAR = frozenset({"A", "B"})
_TABLE = frozenset({"embedding_A", "embedding_B"})


def tensors_check(tensors: dict[str, TensorInfo], config: dict[str, Any], base: BaseTensors) -> None:
    """Of linear layers A [rank, in], B [out, rank] and with DoRA m [out]; of tables A [rank, rows], B [width, rank],
    perhaps beside a copy of the table; whole tensors of saved modules.

    Raises `EvaluationFailed(output_refused)` naming tensor or layer.
    """
    modules: dict[str, dict[str, TensorInfo]] = {}
    saved: set[str] = set()
    for name, info in tensors.items():
        found = tensor_of(name)
        if found is None:
            raise refuse(f"adapter tensor {name[:200]!r} is no part of a plain LoRA as PEFT names it; {MERGE}")
        if info.dtype_class != "float":
            raise refuse(f"adapter tensor {name!r} has type {info.dtype}; it must be a float")
        if found.part == SAVED:
            _saved_check(found.module, info, config, base)
            saved.add(found.module)
        else:
            modules.setdefault(found.module, {})[found.part] = info
    if not modules and not saved:
        raise refuse("the adapter holds no tensor", FailureCode.OUTPUT_MISSING)
    for name in config.get("modules_to_save") or []:
        if not any(saves([name], tensor) for tensor in saved):
            raise wrong("modules_to_save", name, f"names a module that {TENSORS} holds no tensor of")
    for module, parts in modules.items():
        _module_check(module, parts, config, base)
    _sides_check(saved | {f"{module}.weight" for module in modules}, config, base)


def _saved_check(name: str, info: TensorInfo, config: dict[str, Any], base: BaseTensors) -> None:
    tied = _both(config, base) and name in (base.tied, f"{HEAD}.weight")
    if not tied and not saves(config.get("modules_to_save") or [], name):
        raise refuse(f"adapter tensor {name[:200]!r} belongs to no module that modules_to_save names; {MERGE}")
    known = base.of_layer(name)
    if known is None:
        raise refuse(f"adapter tensor {name[:200]!r} is not in the base model, so it can't replace anything")
    if info.shape != known.shape or known.dtype_class != "float":
        raise refuse(f"adapter tensor {name!r} is {info.dtype} {list(info.shape)}, the base has {list(known.shape)}")


def _module_check(module: str, parts: dict[str, TensorInfo], config: dict[str, Any], base: BaseTensors) -> None:
    shown = module[:200]
    target = f"{module}.weight"
    known, table = base.of_layer(target), base.is_table(target)
    if known is None or len(known.shape) != 2 or not (table or base.is_linear(target) or module == HEAD):
        raise refuse(f"adapter module {shown!r} is neither a linear layer nor a table of embeddings of the base model")
    pair = _TABLE if table else _LINEAR
    dora = {"magnitude"} if config.get("use_dora") else set()
    copy = {"copy"} if table or module == HEAD else set()
    if missing := sorted((pair | dora) - set(parts)):
        names = ", ".join(f"lora_{part}" for part in missing)
        whose = " (use_dora is true)" if missing == ["magnitude"] else ""
        raise refuse(f"adapter module {shown!r} lacks {names}{whose}")
    if more := sorted(set(parts) - pair - dora - copy):
        raise refuse(
            f"adapter module {shown!r} holds {', '.join(more)}, which PEFT does not give such a layer; {MERGE}"
        )
    if dora and table:
        raise wrong("use_dora", True, f"scales a table of embeddings, which is not merged here; {MERGE}")
    _targeted_check(module, config, base)
    rank = int(pattern_value(config.get("rank_pattern") or {}, module, config["r"]))
    rows, columns = known.shape
    wanted = {
        "A": (rank, columns),
        "B": (rows, rank),
        "embedding_A": (rank, rows),
        "embedding_B": (columns, rank),
        "magnitude": (rows,),
        "copy": (rows, columns),
    }
    for part, info in parts.items():
        if info.shape != wanted[part]:
            what = "base_layer" if part == "copy" else f"lora_{part}"
            raise refuse(
                f"adapter module {shown!r}: {what} is {list(info.shape)}, not {list(wanted[part])} (r and rank_pattern)"
            )


def _targeted_check(module: str, config: dict[str, Any], base: BaseTensors) -> None:
    """What PEFT would leave out when it loads the adapter is not merged here either. Of expressions it is not asked."""
    targets, excluded = config.get("target_modules"), config.get("exclude_modules")
    if saves(config.get("modules_to_save") or [], f"{module}.weight"):
        raise refuse(f"adapter module {module!r} is saved whole by modules_to_save in {CONFIG}; drop its LoRA tensors")
    if isinstance(excluded, list) and named(excluded, module):
        raise refuse(f"adapter module {module!r} is left out by exclude_modules in {CONFIG}; drop its tensors")
    if not isinstance(targets, list) or (_both(config, base) and f"{module}.weight" in (base.tied, f"{HEAD}.weight")):
        return
    if not named(targets, module):
        raise refuse(f"adapter module {module!r} is not among target_modules in {CONFIG}; add it there")
    if module not in targets and not layer_chosen(config, module):
        raise refuse(f"adapter module {module!r} is left out by layers_to_transform in {CONFIG}; drop its tensors")


def _both(config: dict[str, Any], base: BaseTensors) -> bool:
    """Whether PEFT moves both sides of a tied table when it moves one. It then writes both."""
    return bool(config.get("ensure_weight_tying")) and base.tied is not None


def _sides_check(moved: set[str], config: dict[str, Any], base: BaseTensors) -> None:
    sides = {f"{HEAD}.weight", str(base.tied)}
    if _both(config, base) and len(moved & sides) == 1:
        raise wrong("ensure_weight_tying", True, f"moves {' and '.join(sorted(sides))}, but one has no tensor; {MERGE}")
