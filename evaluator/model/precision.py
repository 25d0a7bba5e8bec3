"""Half precision behind a gate: bf16 answers only where it agrees with fp32 on this very model."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from evaluator.model.engine.pack import Pair
from evaluator.model.engine.parity import HALF_TOLERANCE, Parity, parity
from evaluator.model.local import LocalModel

logger = logging.getLogger(__name__)


def half_precision(model: Any, tokenizer: PreTrainedTokenizerBase, gate: Sequence[Pair]) -> tuple[LocalModel, Parity]:
    """A model under test in bf16 when every token of `gate` scores within `HALF_TOLERANCE` nats of fp32 and no argmax
    changes; otherwise in fp32, as the model came. The model is converted in place.
    For development: official scores are fp32.
    Raises `ValueError` for an empty gate, which would let anything pass.
    """
    if not gate:
        raise ValueError("gate: holds no pair; half precision needs some to be compared on")
    exact = LocalModel(model, tokenizer)
    reference = exact.score(gate)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    half = LocalModel(model.to(torch.bfloat16), tokenizer)
    found = parity(half.score_plain, lambda _: reference, gate)
    if found.holds(HALF_TOLERANCE):
        half.shares = exact.shares
        return half, found
    logger.warning("bf16 differs from fp32 by %.2g nats: fp32 is used", found.worst)
    model.to(torch.float32).load_state_dict(weights)
    return LocalModel(model, tokenizer), found
