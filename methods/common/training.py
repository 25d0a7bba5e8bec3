"""Fine-tuning on requests: the response loss, the model's own answers, and a short full-batch AdamW."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from methods.common.chat import ChatForm
from methods.common.errors import MethodError
from methods.common.inference import continue_greedily
from methods.common.model import BaseModel, states_of


@dataclass(frozen=True)
class Pair:
    """One training text: the question in its chat form, and the response with its closing token."""

    prompt: tuple[int, ...]
    response: tuple[int, ...]


def pair(form: ChatForm, question: str, response: str, *, closed: bool = True) -> Pair:
    """A question with its response; `closed` adds the token that ends the turn."""
    return Pair(tuple(form.prompt_ids(question)), tuple(form.response_ids(response, closed=closed)))


def own_answers(base: BaseModel, prompts: Sequence[str], answers: Sequence[str], max_tokens: int = 24) -> list[str]:
    """What the model itself says to each prompt if that holds the answer, else the answer as given.

    To forget or keep a fact where it is really spoken, losses are taken on the model's own sentence
    ("Egypt is a country in Africa.") and not on somebody else's ("Egypt lies in Africa.").
    """
    written = continue_greedily(base, [base.chat.prompt_ids(prompt) for prompt in prompts], max_tokens)
    chosen: list[str] = []
    for prompt, (ids, _), answer in zip(prompts, written, answers, strict=True):
        text = first_sentence(base.chat.decode(ids).strip())
        new_words = _words(answer) - _words(prompt)
        chosen.append(text if new_words and new_words <= _words(text) else answer)
    return chosen


def first_sentence(text: str) -> str:
    """The first line, cut after its first sentence; a cut-off sentence is closed with a full stop."""
    line = text.split("\n", maxsplit=1)[0].strip()
    found = re.match(r"(.+?[.!?])(?:\s|$)", line)
    return found[1] if found else line.rstrip(" ,;:") + "."


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


def response_nll(base: BaseModel, pairs: Sequence[Pair]) -> Tensor:
    """Mean negative log-likelihood per response token, one number a pair, shape (pairs,), in nats.

    Logits are formed at response positions only: with a vocabulary of 50k they are the largest tensor.
    """
    hidden = states_of(base, [item.prompt + item.response for item in pairs])
    lengths = [len(item.response) for item in pairs]
    spans = [
        hidden[row, len(item.prompt) - 1 : len(item.prompt) + len(item.response) - 1] for row, item in enumerate(pairs)
    ]
    targets = torch.tensor([token for item in pairs for token in item.response], device=base.device)
    losses = nn.functional.cross_entropy(base.logits(torch.cat(spans)), targets, reduction="none")
    return torch.stack([part.mean() for part in torch.split(losses, lengths)])


def trainable(base: BaseModel, *, first_depth: float, last_depth: float, parts: str) -> list[nn.Parameter]:
    """Open the parameters of the blocks between two depths (inclusive) to training; embeddings and head stay fixed.

    `parts` is "block" (all of it) or "mlp" (only the MLP). Blocks below then cost no
    backward pass.
    """
    if parts not in ("block", "mlp"):
        raise MethodError("hparams.parts", parts, "is not known", 'choose "block" or "mlp"')
    opened: list[nn.Parameter] = []
    for layer in base.layers_between(first_depth, last_depth):
        names = [name for name, _ in base.layers[layer].named_parameters()]
        wanted = [name for name in names if parts == "block" or _is_mlp(name)]
        for name, parameter in base.layers[layer].named_parameters():
            if name in wanted:
                parameter.requires_grad_(True)
                opened.append(parameter)
    if not opened:
        raise MethodError("hparams.parts", parts, "names no parameter of this base", 'choose "block"')
    return opened


def _is_mlp(name: str) -> bool:
    return name.split(".", maxsplit=1)[0] in ("mlp", "feed_forward", "fc1", "fc2")


def batches_shuffled(count: int, size: int, seed: int) -> Iterator[list[int]]:
    """Endless batches of indices: every epoch is a seeded shuffle, the last batch of one may be short."""
    generator = random.Random(seed)
    while True:
        order = list(range(count))
        generator.shuffle(order)
        for start in range(0, count, size):
            yield order[start : start + size]


def train(
    parameters: Sequence[nn.Parameter],
    loss_of_step: Callable[[int], Tensor],
    *,
    steps: int,
    learning_rate: float,
    weight_decay: float = 0.0,
    warmup_steps: int = 1,
    finished: Callable[[int, float], bool] | None = None,
    constrain: Callable[[], None] | None = None,
) -> list[float]:
    """AdamW with a linear warm-up and then a constant rate; returns the loss of each step.

    `loss_of_step` may call `backward` on its own terms and return the detached loss, or return a
    loss with a graph. `constrain` puts the parameters back into bounds after
    each step; `finished(step, loss)` ends the training early. Raises `MethodError` when a
    loss is not finite.
    """
    optimiser = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay, betas=(0.9, 0.95))
    losses: list[float] = []
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / max(1, warmup_steps))
        optimiser.zero_grad(set_to_none=True)
        loss = loss_of_step(step)
        value = float(loss.detach())
        if not torch.isfinite(loss.detach()).all():
            raise MethodError("loss", value, f"is not finite at step {step}", "lower hparams.learning_rate")
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        if constrain is not None:
            constrain()
        losses.append(value)
        if finished is not None and finished(step, value):
            break
    return losses
