"""Greedy decoding in large batches: the shared prefix once, guesses checked many a pass, finished rows dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers.cache_utils import DynamicCache

from evaluator.model.engine.cache import SlotCache
from evaluator.model.engine.drafts import Drafts
from evaluator.model.engine.pack import batches, common_prefix
from evaluator.model.engine.trunk import Trunk

#: Memory that the keys and values of one batch may take.
CACHE_BYTES = 2**30
#: Finished rows are dropped together when they are this share of the batch.
DROPPED_SHARE = 0.125
#: Positions of one pass while prompts are read.
READ_TOKENS = 4096
#: A pass of so many may be cut short rather than padded.
EVEN_TOKENS = 512
#: So much of a draft is read with its prompt; where all of it is right, the rest follows.
FIRST_GUESSED = 6
#: Positions of one pass while drafts are read to their ends, and so many that it may be cut short rather than padded.
ENDS_TOKENS, EVEN_ENDS = 2048, 128
#: A pass with fewer positions costs hardly less than one with so many: what is free is spent on guesses.
FREE_TOKENS = 48
#: Most tokens that are guessed ahead of a row.
MOST_GUESSED = 12

#: From last states (N, hidden) the token that follows each, (N,).
Choose = Callable[[torch.Tensor], torch.Tensor]


@dataclass
class Pace:
    """How decoding went: `passes` through the model, `tokens` said, those `guessed`, and of these the `accepted`."""

    passes: int = 0
    tokens: int = 0
    guessed: int = 0
    accepted: int = 0


@dataclass
class _Line:
    """One continuation: the ids of its prompt behind the shared prefix, what was said, the draft of all that is said,
    and what is guessed next.
    """

    own: list[int]
    said: list[int] = field(default_factory=list)
    draft: list[int] = field(default_factory=list)
    guess: list[int] = field(default_factory=list)
    open: bool = True

    @property
    def on_draft(self) -> bool:
        """Whether the draft was right so far and goes on."""
        return len(self.said) < len(self.draft) and self.said == self.draft[: len(self.said)]

    @property
    def known(self) -> int:
        """Positions behind the shared prefix whose keys and values are good: all but the token said last."""
        return len(self.own) + len(self.said) - 1


@dataclass
class Decoding:
    """The rules of one batch. `ends(tokens)` says whether a continuation is complete (a stop string came)."""

    trunk: Trunk
    max_tokens: int
    ends: Callable[[list[int]], bool]
    stop_ids: frozenset[int]
    choose: Choose | None = None
    pace: Pace = field(default_factory=Pace)

    def _chosen(self, states: torch.Tensor) -> list[int]:
        """What follows each state: the most probable token, of equal ones that with the smallest id."""
        return [int(token) for token in (self.choose or self.trunk.head.best)(states).tolist()]

    def _take(self, line: _Line, chosen: Iterable[int]) -> None:
        """Put what the model chose after each guessed token behind a line, as long as the guesses were its choices."""
        guess, line.guess = line.guess, []
        self.pace.guessed += len(guess)
        for place, token in enumerate(chosen):
            if token in self.stop_ids:
                line.open = False
            else:
                line.said.append(token)
                self.pace.tokens += 1
                line.open = len(line.said) < self.max_tokens and not self.ends(line.said)
            if not line.open or place == len(guess) or guess[place] != token:
                return
            self.pace.accepted += 1

    # ------------------------------------------------------------ the plain way

    def plain(self, prompts: Sequence[Sequence[int]], repeat: int = 1) -> list[list[int]]:
        """The way that suits every causal model: rows padded on the left, under the model's own mask."""
        width = max(map(len, prompts))
        ids = torch.zeros((len(prompts), width), dtype=torch.long)
        seen = torch.zeros((len(prompts), width + self.max_tokens), dtype=torch.bool)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = torch.tensor(list(prompt))
            seen[row, width - len(prompt) : width] = True
        positions = (seen[:, :width].cumsum(-1) - 1).clamp(min=0)
        cache: Any = DynamicCache(config=self.trunk.model.config)
        lines = [_Line([]) for _ in range(len(prompts) * repeat)]
        device = self.trunk.device
        alive = list(range(len(lines)))
        for step in range(self.max_tokens):
            out = self.trunk.model.base_model(
                input_ids=ids.to(device),
                attention_mask=seen[:, : width + step].long().to(device),
                position_ids=positions.to(device),
                past_key_values=cache,
                use_cache=True,
            )
            self.pace.passes += 1
            states = out.last_hidden_state[:, -1]
            if step == 0 and repeat > 1:
                rows = torch.arange(len(prompts)).repeat_interleave(repeat)
                cache.batch_select_indices(rows)
                states, seen, positions = states[rows.to(states.device)], seen[rows], positions[rows]
            chosen = self._chosen(states)
            for row, token in zip(alive, chosen, strict=True):
                if lines[row].open:
                    self._take(lines[row], [token])
            keep = [place for place, row in enumerate(alive) if lines[row].open]
            if not keep:
                break
            if len(alive) - len(keep) >= DROPPED_SHARE * len(alive):
                rows = torch.tensor(keep)
                cache.batch_select_indices(rows)
                seen, positions = seen[rows], positions[rows]
                alive, chosen = [alive[place] for place in keep], [chosen[place] for place in keep]
            seen[:, width + step] = True
            ids, positions = torch.tensor(chosen)[:, None], positions[:, -1:] + 1
        return [line.said for line in lines]

    # ------------------------------------------------------------ with guesses

    def packed(
        self, prompts: Sequence[Sequence[int]], repeat: int = 1, drafts: Drafts | None = None
    ) -> list[list[int]]:
        """The shared prefix once, each prompt read together with its draft, then a pass a token and what `drafts`
        guesses from other answers. A guessed token counts only where it is what the model chooses there.
        """
        prefix = common_prefix(prompts, min(map(len, prompts)) - 1) if len(prompts) > 1 else ()
        guessing = drafts if repeat == 1 and self.choose is None else None
        lines = [_Line(list(prompt[len(prefix) :])) for prompt in prompts]
        for line, prompt in zip(lines, prompts, strict=True):
            line.draft = guessing.of(prompt, self.max_tokens - 1) if guessing else []
            line.guess = line.draft[:FIRST_GUESSED]
        room = len(prefix) + max(len(line.own) for line in lines) + self.max_tokens
        cache = self.trunk.slots(len(lines) * repeat, room, prefix)
        lengths = [len(line.own) + len(line.guess) for line in lines]
        order: list[int] = []
        last: list[torch.Tensor] = []
        for chosen in batches(lengths, READ_TOKENS, busy=EVEN_TOKENS):
            part = [lines[i] for i in chosen]
            fed = [line.own + line.guess for line in part]
            rows = range(len(order), len(order) + len(fed))
            states = self.trunk.extend(cache, rows, fed, [len(prefix)] * len(fed))
            order += chosen
            self.pace.passes += 1
            if repeat == 1:
                self._settle(part, states, [len(line.own) - 1 for line in part])
            else:
                last += [states[row, len(line.own) - 1] for row, line in enumerate(part)]
        if repeat > 1:
            cache.repeat(len(order), repeat)
            order = [i * repeat + n for i in order for n in range(repeat)]
            lines = [_Line(line.own) for line in lines for _ in range(repeat)]
            chosen_first = self._chosen(torch.stack(last).repeat_interleave(repeat, 0))
            for i, token in zip(order, chosen_first, strict=True):
                self._take(lines[i], [token])
        self._go_on(cache, [lines[i] for i in order], len(prefix), guessing)
        return [line.said for line in lines]

    def _settle(self, lines: Sequence[_Line], states: torch.Tensor, starts: Sequence[int]) -> None:
        """Choose after the place `starts` of each row of `states` (rows, width, hidden), and after each guess."""
        width = states.shape[1]
        places = [
            row * width + start + n
            for row, (line, start) in enumerate(zip(lines, starts, strict=True))
            for n in range(len(line.guess) + 1)
        ]
        chosen = iter(self._chosen(states.flatten(0, 1)[torch.tensor(places, device=states.device)]))
        for line in lines:
            self._take(line, [next(chosen) for _ in range(len(line.guess) + 1)])

    def _go_on(self, cache: SlotCache, lines: Sequence[_Line], past: int, drafts: Drafts | None) -> None:
        """Continue the lines that are open, each in the cache's row of its place, until all are closed."""
        live = list(lines)
        self._close(cache, live, past, drafts)
        right = [row for row, line in enumerate(live) if line.on_draft]
        for row in right:
            live[row].guess = live[row].draft[len(live[row].said) :]
        for chosen in batches([1 + len(live[row].guess) for row in right], ENDS_TOKENS, busy=EVEN_ENDS):
            self._pass(cache, [right[i] for i in chosen], [live[right[i]] for i in chosen], past)
        while True:
            self._close(cache, live, past, drafts)
            if not live:
                return
            free = min(MOST_GUESSED, FREE_TOKENS // len(live) - 1)
            if drafts is not None and free > 0:
                for line in live:
                    line.guess = drafts.after(line.said, min(free, self.max_tokens - len(line.said) - 1))
            self._pass(cache, range(len(live)), live, past)

    def _pass(self, cache: SlotCache, rows: Sequence[int], lines: Sequence[_Line], past: int) -> None:
        """One pass of lines that stand in these rows of the cache."""
        fed = [[line.said[-1], *line.guess] for line in lines]
        states = self.trunk.extend(cache, rows, fed, [past + line.known for line in lines])
        self.pace.passes += 1
        self._settle(lines, states, [0] * len(lines))

    def _close(self, cache: SlotCache, live: list[_Line], past: int, drafts: Drafts | None) -> None:
        """Take the closed lines out of `live`; the last open one moves into each gap."""
        if drafts is not None:
            for line in live:
                if not line.open:
                    drafts.learn(line.said)
        row = 0
        while row < len(live):
            if live[row].open:
                row += 1
                continue
            moved = live.pop()
            if row < len(live):
                live[row] = moved
                if moved.open:
                    cache.move(len(live), row, past + moved.known)
