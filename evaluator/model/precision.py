"""Half precision behind a gate: bf16 answers only where it agrees with fp32 on this very model."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from evaluator.contract import HalfGate
from evaluator.model.engine.pack import Pair
from evaluator.model.engine.parity import HALF_TOLERANCE
from evaluator.model.local import LocalModel
from evaluator.model.under_test import Scored

logger = logging.getLogger(__name__)

#: What a processor calls its products of bf16, any of which will do.
HALF_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})
#: New tokens of the greedy texts that a gate compares.
GATE_TOKENS = 32


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """What this processor says that it can do; nothing where it does not say."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), ()))


def half_lacking(flags: Collection[str], *, device: str = "cpu") -> str:
    """Why bf16 would not be faster on a device, by the flags of the processor; empty where it would."""
    if device != "cpu":
        return "" if torch.cuda.is_bf16_supported() else f"the device {device} has no bf16"
    return "" if HALF_FLAGS.intersection(flags) else f"this processor has none of {', '.join(sorted(HALF_FLAGS))}"


def halved(model: Any, tokenizer: PreTrainedTokenizerBase) -> LocalModel:
    """A model under test in bf16, converted in place; prompts are packed where they are in fp32."""
    shares = LocalModel(model, tokenizer).shares
    half = LocalModel(model.to(torch.bfloat16), tokenizer)
    half.shares = shares
    return half


def half_precision(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    gate: Sequence[Pair],
    *,
    prompts: Sequence[Sequence[int]] = (),
    development: bool = False,
) -> tuple[LocalModel, HalfGate]:
    """A model under test in bf16 when every token of `gate` scores within `HALF_TOLERANCE` nats of fp32 and no argmax
    changes; otherwise in fp32, as the model came. The model is converted in place. Greedy texts after `prompts` are
    compared too and do not decide. For `development` it is enough to be near: see `HalfGate`.
    For development only: official scores are fp32.
    Raises `ValueError` for an empty gate, which would let anything pass.
    """
    if not any(continuation for _, continuation in gate):
        raise ValueError("gate: holds no pair; half precision needs some to be compared on")
    exact = LocalModel(model, tokenizer)
    scored, texts = exact.score(gate), exact.generate(prompts, max_tokens=GATE_TOKENS, stop=())
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    # Frequencies of positions are in no state, and would come back from bf16 rounded.
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    half = halved(model, tokenizer)
    differ = sum(a != b for a, b in zip(texts, half.generate(prompts, max_tokens=GATE_TOKENS, stop=()), strict=True))
    found = _gate(half.score(gate), scored).model_copy(update={"texts": len(texts), "texts_differ": differ})
    if found.near if development else found.holds:
        return half, found
    logger.warning("half precision is not used; %s", found.told())
    model.to(torch.float32).load_state_dict(weights)
    for name, value in model.named_buffers():
        value.copy_(buffers[name])
    return LocalModel(model, tokenizer), found


def _gate(half: Sequence[Scored], exact: Sequence[Scored]) -> HalfGate:
    """What two ways of scoring the same pairs make of each token."""
    pairs = list(zip(half, exact, strict=True))
    gaps = [abs(x - y) for a, b in pairs for x, y in zip(a.logprobs, b.logprobs, strict=True)]
    finite = all(map(math.isfinite, gaps))
    return HalfGate(
        tolerance=HALF_TOLERANCE,
        tokens=len(gaps),
        worst=max(gaps) if finite else None,
        mean=sum(gaps) / len(gaps) if finite else None,
        changed=sum(x != y for a, b in pairs for x, y in zip(a.hits, b.hits, strict=True)),
    )
