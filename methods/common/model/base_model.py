"""The base model: loading any causal language model and finding its layers by what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from methods.common.contract.errors import MethodError
from methods.common.contract.task import Task
from methods.common.model.chat import ChatForm, tokenizer_load

#: Where the families keep the second matrix of the MLP: Llama, Qwen, Gemma, Mistral; GPT-2; NeoX; GPT-J; OPT, Phi.
DOWN_PROJECTIONS = (
    "mlp.down_proj",
    "mlp.c_proj",
    "mlp.dense_4h_to_h",
    "mlp.fc_out",
    "mlp.fc2",
    "fc2",
    "feed_forward.w2",
)


@dataclass(frozen=True)
class BaseModel:
    """A causal language model in float32, its tokenizer and its chat form.

    `layers` are its transformer blocks in order; `trunk` maps token ids to the last hidden state
    (batch, time, width); `logits` maps a hidden state (…, width) to (…, vocabulary).
    """

    model: Any
    chat: ChatForm
    layers: tuple[nn.Module, ...]
    device: torch.device

    @property
    def trunk(self) -> Any:
        return self.model.base_model

    @property
    def pad_id(self) -> int:
        """Any valid id: padding is always masked."""
        return int(self.chat.end_ids[0]) if self.chat.end_ids else 0

    def logits(self, hidden: Tensor) -> Tensor:
        scores: Tensor = self.model.get_output_embeddings()(hidden)
        cap = getattr(self.model.config.get_text_config(), "final_logit_softcapping", None)
        return torch.tanh(scores / cap) * cap if cap else scores

    def down_projection(self, layer: int) -> nn.Module:
        """The module whose input are a block's MLP keys and whose output its values."""
        block = self.layers[layer]
        for name in DOWN_PROJECTIONS:
            try:
                return block.get_submodule(name)
            except AttributeError:
                continue
        raise MethodError("base", type(block).__name__, "has no known MLP output matrix", "add its name to model.py")

    def down_weight(self, layer: int) -> Tensor:
        """The matrix W of the down projection as a (width, keys) view, whatever way the family stores it."""
        module = self.down_projection(layer)
        weight = module.weight
        assert isinstance(weight, Tensor)
        return weight if isinstance(module, nn.Linear) else weight.T

    def layer_at(self, name: str, depth: float) -> int:
        """The block at a share of the depth, 0 the first and 1 the last, so that a setting fits any base."""
        if not 0.0 <= depth <= 1.0:
            raise MethodError(name, depth, "is not a share of the depth", "choose a number from 0 to 1")
        return min(int(depth * len(self.layers)), len(self.layers) - 1)

    def layers_between(self, first_depth: float, last_depth: float) -> range:
        """The blocks between two depths (inclusive). Raises `MethodError` naming the setting at fault."""
        first = self.layer_at("hparams.first_depth", first_depth)
        last = self.layer_at("hparams.last_depth", last_depth)
        if first > last:
            raise MethodError("hparams.first_depth", first_depth, "lies above last_depth", "choose a lower one")
        return range(first, last + 1)


def threads_set(threads: int) -> None:
    """Use exactly `threads` cores, and only kernels that give the same result every time."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)


def model_load(
    base_dir: Path,
    *,
    threads: int,
    chat: bool = True,
    system_prompt: str | None = None,
    device: str = "cpu",
    previous_dir: Path | None = None,
) -> BaseModel:
    """The base model for reading: float32, no gradients. `previous_dir` overlays an earlier step's weights."""
    from transformers import AutoModelForCausalLM  # noqa: PLC0415 - loads transformers
    from transformers.utils import logging  # noqa: PLC0415 - loads transformers

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    threads_set(threads)
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(  # nosec B615 # a local folder
            base_dir, dtype=torch.float32, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise MethodError("base", str(base_dir), f"cannot be loaded: {error}", "give a causal model") from None
    model.eval().requires_grad_(False)
    if previous_dir is not None and (previous_dir / "model").is_dir():
        from methods.common.model.weights import weights_overlay  # noqa: PLC0415 - loads torch

        weights_overlay(model, previous_dir / "model")
    model.to(device)
    form = ChatForm(tokenizer_load(base_dir), chat=chat, system_prompt=system_prompt)
    return BaseModel(model=model, chat=form, layers=_layers(model), device=torch.device(device))


def model_of(task: Task) -> BaseModel:
    """The base model as a task asks for it, with every draw that follows set by the task's seed."""
    job = task.job
    torch.manual_seed(job.seed)
    return model_load(
        task.base_dir,
        threads=job.threads,
        chat=job.chat,
        system_prompt=job.system_prompt,
        device=job.device,
        previous_dir=task.previous_dir,
    )


def _layers(model: Any) -> tuple[nn.Module, ...]:
    depth = model.config.get_text_config().num_hidden_layers
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return tuple(module)
    raise MethodError("base", type(model).__name__, f"has no list of its {depth} layers", "use a decoder-only model")


def padded(rows: Sequence[Sequence[int]], pad_id: int, *, left: bool = False) -> tuple[Tensor, Tensor]:
    """Rows of unequal length as (ids, mask), both (rows, longest), int64."""
    longest = max(1, *(len(row) for row in rows))
    ids = torch.full((len(rows), longest), pad_id, dtype=torch.long)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for index, row in enumerate(rows):
        place = slice(longest - len(row), longest) if left else slice(0, len(row))
        ids[index, place] = torch.tensor(list(row), dtype=torch.long)
        mask[index, place] = 1
    return ids, mask


def batches_by_length(lengths: Sequence[int], tokens_per_batch: int) -> list[list[int]]:
    """Indices grouped so that rows of like length share a batch of at most `tokens_per_batch` padded tokens."""
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda item: (lengths[item], item)):
        if groups and (len(groups[-1]) + 1) * lengths[index] <= tokens_per_batch:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def common_length(rows: Sequence[Sequence[int]]) -> int:
    """How many first ids all rows share, leaving at least one id of every row."""
    first = min(rows, key=len)
    shared = 0
    while shared < len(first) - 1 and all(row[shared] == first[shared] for row in rows):
        shared += 1
    return shared


def states_of(base: BaseModel, rows: Sequence[Sequence[int]]) -> Tensor:
    """Last hidden states of all rows, (rows, longest, width); behind a row's end they mean nothing.

    Questions in a chat form share their system prompt. What all rows share is computed once and its
    attention reused, gradients included.
    """
    from transformers import DynamicCache  # noqa: PLC0415 - loads transformers

    shared = common_length(rows) if len(rows) > 1 else 0
    if shared < 4:
        ids, mask = padded(rows, base.pad_id)
        hidden: Tensor = base.trunk(
            input_ids=ids.to(base.device), attention_mask=mask.to(base.device), use_cache=False
        ).last_hidden_state
        return hidden
    cache = DynamicCache(config=base.model.config)
    head_ids = torch.tensor([list(rows[0][:shared])], device=base.device)
    head = base.trunk(input_ids=head_ids, past_key_values=cache, use_cache=True).last_hidden_state
    cache.batch_repeat_interleave(len(rows))
    ids, mask = padded([row[shared:] for row in rows], base.pad_id)
    tail = base.trunk(
        input_ids=ids.to(base.device),
        attention_mask=torch.cat([torch.ones(len(rows), shared, dtype=torch.long), mask], dim=1).to(base.device),
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    return torch.cat([head.expand(len(rows), -1, -1), tail], dim=1)
