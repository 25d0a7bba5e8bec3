"""Questions with their responses as training texts, and which response a fact is really spoken in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from methods.common.contract.task import Example, Request
from methods.common.model.base_model import BaseModel
from methods.common.model.chat import ChatForm
from methods.common.model.inference import continue_greedily


@dataclass(frozen=True)
class Pair:
    """One training text: the question in its chat form, and the response with its closing token."""

    prompt: tuple[int, ...]
    response: tuple[int, ...]

    @property
    def ids(self) -> tuple[int, ...]:
        return self.prompt + self.response


def pair(form: ChatForm, question: str, response: str, *, closed: bool = True) -> Pair:
    """A question with its response; `closed` adds the token that ends the turn."""
    return Pair(tuple(form.prompt_ids(question)), tuple(form.response_ids(response, closed=closed)))


def pick(pairs: Sequence[Pair], rows: Sequence[int]) -> list[Pair]:
    """The pairs at the given indices, in that order."""
    return [pairs[row] for row in rows]


def forget_pairs(base: BaseModel, requests: Sequence[Request], *, closed: bool = False) -> list[Pair]:
    """The requests with the model's own answers, without the token that ends the turn.

    The end of a turn is no part of what is to be forgotten: climbing on it makes all answers ramble.
    """
    return _own_pairs(base, requests, closed=closed)


def retain_pairs(base: BaseModel, examples: Sequence[Example]) -> list[Pair]:
    """The facts to be kept with the model's own answers, each with the token that ends the turn."""
    return _own_pairs(base, examples, closed=True)


def _own_pairs(base: BaseModel, items: Sequence[Request | Example], *, closed: bool) -> list[Pair]:
    prompts = [item.prompt for item in items]
    answers = own_answers(base, prompts, [item.answer for item in items])
    return [pair(base.chat, prompt, answer, closed=closed) for prompt, answer in zip(prompts, answers, strict=True)]


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
