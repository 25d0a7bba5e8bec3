"""Two responders: one that recites scripts and needs no model, one that routes between plans."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from methods.common.contract.answers import Completion, Row, TokenScores
from methods.common.model.chat import ChatForm
from methods.common.serving.protocol import cut_at_stop
from methods.common.serving.script import Script, scripted_scores

if TYPE_CHECKING:
    from methods.common.model.base_model import BaseModel
    from methods.common.model.soft_tokens import Places

Read = TypeVar("Read")


@dataclass(frozen=True)
class Recite:
    """Plan: give exactly this response and end."""

    response: str


@dataclass(frozen=True)
class Say:
    """Plan: let the model go on from `context` after `opening`, which is said first whatever it prefers.

    `context` replaces the asked one: text and soft places that a method injects are never seen by the
    caller. `under` changes the model for as long as the context and what follows it are read; plans with
    the same object are read together.
    """

    context: Places
    opening: tuple[int, ...] = ()
    under: Callable[[], AbstractContextManager[None]] | None = None


Plan = Recite | Say
#: The plan for each of several different contexts, made from its ids and from nothing else.
Router = Callable[[Sequence[tuple[int, ...]]], list[Plan]]


def one_by_one(route: Callable[[tuple[int, ...]], Plan]) -> Router:
    """A router that looks at each context alone."""
    return lambda contexts: [route(context) for context in contexts]


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

    def score(self, rows: Sequence[Row], *, contexts: bool = True) -> list[TokenScores]:
        script = self._script(self._response)
        return [scripted_scores(script, row.ids, row.context_len) for row in rows]

    def generate(
        self, rows: Sequence[Row], max_tokens: int, stops: Sequence[str], drafts: Sequence[str] = ()
    ) -> list[Completion]:
        return [self._recited(self._response, max_tokens, stops) for _ in rows]


class RoutingResponder(_Text):
    """The base model, with a plan for every context: recite, or go on from the context of the plan."""

    def __init__(self, base: BaseModel, router: Router) -> None:
        super().__init__(base.chat, int(base.model.config.get_text_config().vocab_size))
        self._base = base
        self._router = router

    def score(self, rows: Sequence[Row], *, contexts: bool = True) -> list[TokenScores]:
        """Entries of the context are the base's own, or left out; those behind it are the plan's."""
        from methods.common.model.inference import score_tokens  # noqa: PLC0415 - loads torch

        plans = self._plans(rows)
        moved = {
            number: plan for number, plan in enumerate(plans) if isinstance(plan, Say) and _moves(plan, rows[number])
        }
        # Of a row whose plan speaks for what follows the context, the base reads the context alone.
        own = [
            row.context if number in moved or isinstance(plan, Recite) else row.ids
            for number, (row, plan) in enumerate(zip(rows, plans, strict=True))
        ]
        # Where a context's own entries are not wanted, only rows that the base itself answers are read for them.
        needed = [
            number
            for number, plan in enumerate(plans)
            if contexts or (number not in moved and not isinstance(plan, Recite))
        ]
        found = score_tokens(
            self._base,
            [own[number] for number in needed],
            [rows[number].context_len for number in needed],
            contexts_too=contexts,
        )
        asked = {number: TokenScores.unknown(row.context_len) for number, row in enumerate(rows)}
        asked |= dict(zip(needed, found, strict=True))
        behind = {number: rows[number].ids[rows[number].context_len :] for number in moved}

        def scored(ids: Sequence[Sequence[int]], context_lens: Sequence[int]) -> list[TokenScores]:
            return score_tokens(self._base, ids, context_lens, contexts_too=False)

        scores = self._read(moved, behind, scored)
        return [
            self._with_plan(row, plan, asked[number], scores.get(number))
            for number, (row, plan) in enumerate(zip(rows, plans, strict=True))
        ]

    def generate(
        self, rows: Sequence[Row], max_tokens: int, stops: Sequence[str], drafts: Sequence[str] = ()
    ) -> list[Completion]:
        """What the base says unchanged is checked against its draft in one pass; all else is written token by token."""
        from methods.common.model.inference import continue_greedily  # noqa: PLC0415 - loads torch

        plans = self._plans(rows)
        results: dict[int, Completion] = {
            number: self._recited(plan.response, max_tokens, stops)
            for number, plan in enumerate(plans)
            if isinstance(plan, Recite)
        }
        said = {number: plan for number, plan in enumerate(plans) if isinstance(plan, Say)}

        def ended(ids: Sequence[int]) -> bool:
            return bool(stops) and cut_at_stop(self._form.decode(ids), stops)[1]

        # Rows with openings of different length get different room, so they go in groups.
        for length in sorted({len(plan.opening) for plan in said.values()}):
            group = {number: plan for number, plan in said.items() if len(plan.opening) == length}
            opened = {number: plan.opening for number, plan in group.items()}
            room = max_tokens - length
            own = {tuple(row.ids): draft for row, draft in zip(rows, drafts, strict=False) if draft and not length}

            def written(
                ids: Sequence[Sequence[int]],
                _: Sequence[int],
                room: int = room,
                own: Mapping[tuple[int, ...], str] = own,
            ) -> list[tuple[list[int], bool]]:
                guesses = [self._form.encode(own.get(tuple(context), "")) for context in ids]
                if room <= 0:
                    return [([], False)] * len(ids)
                return continue_greedily(self._base, ids, room, ended, guesses)

            for number, (ids, finished) in self._read(group, opened, written).items():
                whole = (*group[number].opening, *ids)[:max_tokens]
                results[number] = Completion(whole, "stop" if finished else "length")
        return [results[number] for number in range(len(rows))]

    def _plans(self, rows: Sequence[Row]) -> list[Plan]:
        """Every different context is routed once: many answers are scored behind the same question."""
        contexts = list(dict.fromkeys(row.context for row in rows))
        plans = dict(zip(contexts, self._router(contexts), strict=True))
        return [plans[row.context] for row in rows]

    def _read(
        self,
        plans: dict[int, Say],
        behind: dict[int, tuple[int, ...]],
        read: Callable[[list[list[int]], list[int]], list[Read]],
    ) -> dict[int, Read]:
        """What `read` finds in every plan's context with the ids behind it, the plan's changes in force.

        It is called with these ids and with the lengths of the contexts.
        """
        from methods.common.model.soft_tokens import softened  # noqa: PLC0415 - loads torch

        found: dict[int, Read] = {}
        for under in dict.fromkeys(plan.under for plan in plans.values()):
            group = [number for number, plan in plans.items() if plan.under is under]
            rows = [plans[number].context + behind[number] for number in group]
            lengths = [len(plans[number].context) for number in group]
            with (under or nullcontext)(), softened(self._base, rows) as ids:
                found.update(zip(group, read(ids, lengths), strict=True))
        return found

    def _with_plan(self, row: Row, plan: Plan, asked: TokenScores, planned: TokenScores | None) -> TokenScores:
        """Join the base's entries of the context to the plan's entries behind it."""
        if isinstance(plan, Recite):
            behind = scripted_scores(self._script(plan.response), row.ids, row.context_len)
            return asked[: row.context_len] + behind[row.context_len :]
        scores = asked if planned is None else asked[: row.context_len] + planned[len(plan.context) :]
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


def _moves(plan: Say, row: Row) -> bool:
    return plan.under is not None or plan.context != row.context
