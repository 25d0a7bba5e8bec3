"""Two responders: one that recites scripts and needs no model, one that routes between plans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from methods.common.chat import ChatForm
from methods.common.protocol import cut_at_stop
from methods.common.script import Script, scripted_scores
from methods.common.serving import Completion, Row, TokenScores

if TYPE_CHECKING:
    from methods.common.model import BaseModel


@dataclass(frozen=True)
class Recite:
    """Plan: give exactly this response and end."""

    response: str


@dataclass(frozen=True)
class Say:
    """Plan: let the model go on from `context` after `opening`, which is said first whatever it prefers.

    `context` replaces the asked one: text that a method injects is never seen by the caller.
    """

    context: tuple[int, ...]
    opening: tuple[int, ...] = ()


Plan = Recite | Say
#: The plan for one context, made from its ids and from nothing else.
Router = Callable[[tuple[int, ...]], Plan]


class _Text:
    """Tokens and text of the base: what every responder shares."""

    def __init__(self, form: ChatForm, vocabulary: int) -> None:
        self._form = form
        self._vocabulary = vocabulary

    def encode(self, text: str) -> list[int]:
        return self._form.encode(text)

    def decode(self, ids: Sequence[int], *, plain: bool) -> str:
        return self._form.decode(ids, plain=plain)

    def vocabulary(self) -> int:
        return self._vocabulary

    def context_length(self, ids: Sequence[int]) -> int:
        return self._form.context_length(ids)

    def _script(self, response: str) -> Script:
        end = self._form.end_ids[0]
        return Script(tuple(self._form.response_ids(response)), end, self._vocabulary)

    def _recited(self, response: str, max_tokens: int, stops: Sequence[str]) -> Completion:
        ids = self._form.response_ids(response, closed=False)
        finish = "stop" if len(ids) < max_tokens else "length"
        ids = ids[:max_tokens]
        _, stopped = cut_at_stop(self._form.decode(ids), stops)
        return Completion(tuple(ids), "stop" if stopped else finish)


class Reciter(_Text):
    """Gives one response to everything, from the tokenizer alone."""

    def __init__(self, form: ChatForm, vocabulary: int, response: str) -> None:
        super().__init__(form, vocabulary)
        self._response = response

    def score(self, rows: Sequence[Row]) -> list[TokenScores]:
        script = self._script(self._response)
        return [scripted_scores(script, row.ids, row.context_len) for row in rows]

    def generate(self, rows: Sequence[Row], max_tokens: int, stops: Sequence[str]) -> list[Completion]:
        return [self._recited(self._response, max_tokens, stops) for _ in rows]


class RoutingResponder(_Text):
    """The base model, with a plan for every context: recite, or go on from the context of the plan."""

    def __init__(self, base: BaseModel, router: Router) -> None:
        super().__init__(base.chat, int(base.model.config.get_text_config().vocab_size))
        self._base = base
        self._router = router

    def score(self, rows: Sequence[Row]) -> list[TokenScores]:
        """Entries of the context are the base's own; those behind it are the plan's."""
        from methods.common.inference import score_tokens

        plans = [self._router(row.context) for row in rows]
        asked = list(score_tokens(self._base, [row.ids for row in rows]))
        moved = [
            number
            for number, plan in enumerate(plans)
            if isinstance(plan, Say) and plan.context != rows[number].context
        ]
        moved_scores = score_tokens(self._base, [self._moved(plans[number], rows[number]) for number in moved])
        scores = dict(zip(moved, moved_scores, strict=True))
        return [
            self._with_plan(row, plan, asked[number], scores.get(number, asked[number]))
            for number, (row, plan) in enumerate(zip(rows, plans, strict=True))
        ]

    def generate(self, rows: Sequence[Row], max_tokens: int, stops: Sequence[str]) -> list[Completion]:
        from methods.common.inference import continue_greedily

        plans = [self._router(row.context) for row in rows]
        results: dict[int, Completion] = {
            number: self._recited(plan.response, max_tokens, stops)
            for number, plan in enumerate(plans)
            if isinstance(plan, Recite)
        }
        said = [(number, plan) for number, plan in enumerate(plans) if isinstance(plan, Say)]

        def ended(ids: Sequence[int]) -> bool:
            return bool(stops) and cut_at_stop(self._form.decode(ids), stops)[1]

        # Rows with openings of different length get different room, so they go in groups.
        for length in sorted({len(plan.opening) for _, plan in said}):
            group = [(number, plan) for number, plan in said if len(plan.opening) == length]
            room = max_tokens - length
            contexts = [plan.context + plan.opening for _, plan in group]
            written = continue_greedily(self._base, contexts, room, ended) if room > 0 else [([], False)] * len(group)
            for (number, plan), (ids, finished) in zip(group, written, strict=True):
                whole = (*plan.opening, *ids)[:max_tokens]
                results[number] = Completion(whole, "stop" if finished else "length")
        return [results[number] for number in range(len(rows))]

    def _moved(self, plan: Plan, row: Row) -> tuple[int, ...]:
        assert isinstance(plan, Say)
        return plan.context + row.ids[row.context_len :]

    def _with_plan(self, row: Row, plan: Plan, asked: TokenScores, planned: TokenScores) -> TokenScores:
        """Join the base's entries of the context to the plan's entries behind it."""
        if isinstance(plan, Recite):
            behind = scripted_scores(self._script(plan.response), row.ids, row.context_len)
            return _joined(asked, row.context_len, behind, row.context_len)
        scores = _joined(asked, row.context_len, planned, len(plan.context)) if plan.context != row.context else asked
        return self._with_opening(row, plan, scores) if plan.opening else scores

    def _with_opening(self, row: Row, plan: Say, scores: TokenScores) -> TokenScores:
        """While the continuation follows the opening, the opening's next token is all but certain."""
        script = Script(plan.opening, self._form.end_ids[0], self._vocabulary)
        logprobs, top_ids, tops = list(scores.logprobs), list(scores.top_ids), list(scores.top_logprobs)
        for place in range(row.context_len, len(row.ids) + 1):
            said = row.ids[row.context_len : place]
            if not script.followed(said):
                break
            guess = script.guess(said)
            logprobs[place] = guess.logprob(row.ids[place]) if place < len(row.ids) else guess.best_logprob
            top_ids[place], tops[place] = guess.best, guess.best_logprob
        return replace(scores, logprobs=logprobs, top_ids=top_ids, top_logprobs=tops)


def _joined(front: TokenScores, front_len: int, back: TokenScores, back_from: int) -> TokenScores:
    return TokenScores(
        front.logprobs[:front_len] + back.logprobs[back_from:],
        front.top_ids[:front_len] + back.top_ids[back_from:],
        front.top_logprobs[:front_len] + back.top_logprobs[back_from:],
    )
