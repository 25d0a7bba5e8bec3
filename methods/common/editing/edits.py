"""From requests to edits: which target a question is to get, in which wordings, and which requests share one edit.

The recipes of "Knowledge Editing as Unlearning" (arXiv 2505.19855) are settings here, so every
editing method has them: `target` says where refusals come from, `merge` how queries are merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from methods.common.contract.errors import MethodError
from methods.common.contract.task import Request
from methods.common.model.base_model import BaseModel
from methods.common.model.partial_forward import Context
from methods.common.targets.refusals import REFUSALS, rephrasings
from methods.common.targets.sources import targets_of

MERGES = ("none", "text", "key")


@dataclass(frozen=True)
class EditSettings:
    """What all editing methods can be told; `v_clamp` and `v_weight_decay` are relative to the norm of the value.

    `merge` is "none", "text" (one prompt of `merge_size` questions in a row, looked up at its last
    token) or "key" (each question keeps its own key, and they share one change).
    """

    target: str = "template"
    refusal_variety: int = 1
    merge: str = "none"
    merge_size: int = 5
    prefixes: tuple[str, ...] = ("",)
    rephrasings: int = 1
    v_steps: int = 15
    v_learning_rate: float = 0.5
    v_stop_at: float = 0.15
    v_clamp: float = 4.0
    v_weight_decay: float = 0.001
    kl_factor: float = 0.0625
    covariance_tokens: int = 20_000
    covariance_ridge: float = 0.01
    neighbours: int = 20
    neighbour_weight: float = 1.0


@dataclass(frozen=True)
class Edit:
    """One (x, y*): its requests, the wordings of each question, the target ids, prompts whose essence is to stay."""

    requests: tuple[Request, ...]
    questions: tuple[tuple[Context, ...], ...]
    target: tuple[int, ...]
    essences: tuple[Context, ...]

    @property
    def contexts(self) -> tuple[Context, ...]:
        return tuple(context for wordings in self.questions for context in wordings)


@dataclass(frozen=True)
class Edits:
    """All edits of a run, and what is to be said about how they were made."""

    items: tuple[Edit, ...]
    notes: dict[str, Any]


def edits_of(base: BaseModel, requests: Sequence[Request], settings: EditSettings, *, seed: int) -> Edits:
    """The edits that a method has to write. Raises `MethodError` for an unknown `target` or `merge`."""
    if settings.merge not in MERGES:
        raise MethodError("hparams.merge", settings.merge, "is not known", "choose " + ", ".join(MERGES))
    if settings.merge == "none":
        targets = targets_of(base, requests, settings.target, seed=seed, variety=settings.refusal_variety)
        items = [
            Edit(
                requests=(request,),
                questions=(contexts_of(base, request, wordings_of(request, settings)),),
                target=tuple(base.chat.response_ids(text)),
                essences=_essences(base, [request]),
            )
            for request, text in zip(requests, targets.texts, strict=True)
        ]
        return Edits(tuple(items), targets.notes)
    if settings.merge_size < 2:
        raise MethodError("hparams.merge_size", settings.merge_size, "merges nothing", "choose 2 or more")
    if settings.target != "template":
        raise MethodError("hparams.target", settings.target, "is one of each request", 'merge takes "template" only')
    # Merged requests share one target, which can therefore name none of their topics.
    target = tuple(base.chat.response_ids(REFUSALS[0].format(topic="that")))
    size = settings.merge_size
    groups = [requests[start : start + size] for start in range(0, len(requests), size)]
    return Edits(tuple(_merged(base, group, target, settings) for group in groups), {})


def _merged(base: BaseModel, group: Sequence[Request], target: tuple[int, ...], settings: EditSettings) -> Edit:
    if settings.merge == "text":
        question = " ".join(request.prompt for request in group)
        contexts = tuple(context_at(base, prefix + question, question) for prefix in settings.prefixes)
        return Edit(requests=tuple(group), questions=(contexts,), target=target, essences=())
    questions = tuple(contexts_of(base, request, wordings_of(request, settings)) for request in group)
    return Edit(requests=tuple(group), questions=questions, target=target, essences=_essences(base, group))


def wordings_of(request: Request, settings: EditSettings) -> list[str]:
    """The question behind every prefix, and its rephrasings."""
    asked = [prefix + request.prompt for prefix in settings.prefixes]
    return asked + rephrasings(request)[: settings.rephrasings]


def contexts_of(base: BaseModel, request: Request, wordings: Sequence[str]) -> tuple[Context, ...]:
    """The question in every wording; the lookup is at the subject's last token.

    Without a subject the lookup is at the last token of the question.
    """
    return tuple(context_at(base, wording, request.subject or wording) for wording in wordings)


def _essences(base: BaseModel, requests: Sequence[Request]) -> tuple[Context, ...]:
    """ "{subject} is a" of every subject: the prompts on which the essence of the subject is to stay."""
    subjects = [request.subject for request in requests if request.subject is not None]
    return tuple(context_at(base, f"{subject} is a", subject) for subject in subjects)


def context_at(base: BaseModel, question: str, marked: str) -> Context:
    """A question in its chat form, looked up at the last token of `marked`, the last time that stands in it."""
    text = base.chat.prompt_text(question)
    end = text.rindex(question) + question.rindex(marked) + len(marked)
    # The token that holds the last character of the marked words. Encoding the text up to there and
    # counting would be wrong where a token spans the border, so the offsets decide.
    encoded: Any = base.chat.tokenizer(text, add_special_tokens=not base.chat.chat, return_offsets_mapping=True)
    offsets = encoded["offset_mapping"]
    lookup = max(index for index, (start, stop) in enumerate(offsets) if start < end and start < stop)
    return Context(tuple(encoded["input_ids"]), lookup)
