"""Greedy decoding in large batches: the shared prefix once, guesses checked many a pass, finished rows dropped."""

from __future__ import annotations

from collections import Counter
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
#: A pass of one position costs about what so many positions more cost: what reading the weights takes.
FREE_TOKENS = 24
#: So many tokens that most prompts begin with are worth a pool of their own.
WORTH_SHARING = 8
#: Rows that have ended are filled again when they are one in so many.
REFILLED = 8
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
class _Pool:
    """A cache whose first rows are those of the `live` lines; `past` is the length of the prefix that all share."""

    cache: SlotCache
    past: int
    live: list[_Line] = field(default_factory=list)


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
        """What prompts begin with alike once, each prompt read together with its draft, then a pass a token and what
        `drafts` guesses from other answers. A guessed token counts only where it is what the model chooses there.
        """
        guessing = drafts if repeat == 1 and self.choose is None else None
        lines = [_Line([]) for _ in range(len(prompts) * repeat)]
        for group in _alike(prompts):
            asked = [prompts[i] for i in group]
            prefix = common_prefix(asked, min(map(len, asked)) - 1) if len(asked) > 1 else ()
            waiting = []
            for i in sorted(group, key=lambda i: (-len(prompts[i]), i)):
                copies = lines[i * repeat : (i + 1) * repeat]
                for line in copies:
                    line.own = list(prompts[i][len(prefix) :])
                    line.draft = guessing.of(prompts[i], self.max_tokens - 1) if guessing else []
                waiting.append(copies)
            self._answer(waiting, prefix, guessing)
        return [line.said for line in lines]

    def _answer(self, waiting: list[list[_Line]], prefix: tuple[int, ...], drafts: Drafts | None) -> None:
        """Continue all lines, those of one prompt together, longest prompts first, in a pool of rows: as rows end,
        others are read into their places.
        """
        room = len(prefix) + len(waiting[0][0].own) + self.max_tokens
        repeat = len(waiting[0])
        at_once = max(1, CACHE_BYTES // (self.trunk.bytes_per_token() * room * repeat))
        pool = _Pool(self.trunk.slots(min(at_once, len(waiting)) * repeat, room, prefix), len(prefix))
        while True:
            self._close(pool, drafts)
            free = (pool.cache.rows - len(pool.live)) // repeat
            if waiting and (not pool.live or free * REFILLED >= at_once):
                new, waiting = waiting[:free], waiting[free:]
                self._read(pool, new)
            elif pool.live:
                said = [len(line.said) for line in pool.live]
                guesses = self._guess(pool.live, drafts)
                self._pass(pool, range(len(pool.live)))
                for line, place, guess in zip(pool.live, said, guesses, strict=True):
                    if guess and drafts is not None:
                        drafts.tell(line.said[place : place + 1] == guess[:1])
            else:
                return

    def _read(self, pool: _Pool, prompts: Sequence[list[_Line]]) -> None:
        """Read prompts with the beginnings of their drafts into rows behind the live ones, then the drafts that are
        right so far to their ends.
        """
        firsts = [copies[0] for copies in prompts]
        for line in firsts:
            line.guess = line.draft[:FIRST_GUESSED]
        begin = len(pool.live)
        for chosen in batches([len(line.own) + len(line.guess) for line in firsts], READ_TOKENS, busy=EVEN_TOKENS):
            part = [firsts[i] for i in chosen]
            fed = [line.own + line.guess for line in part]
            start = len(pool.live)
            states = self.trunk.extend(pool.cache, range(start, start + len(part)), fed, [pool.past] * len(part))
            self.pace.passes += 1
            copies = len(prompts[0])
            if copies == 1:
                pool.live += part
                self._settle(part, states, [len(line.own) - 1 for line in part])
                continue
            pool.cache.repeat(start, len(part), copies)
            lasts = torch.stack([states[row, len(line.own) - 1] for row, line in enumerate(part)])
            lines = [line for i in chosen for line in prompts[i]]
            pool.live += lines
            for line, token in zip(lines, self._chosen(lasts.repeat_interleave(copies, 0)), strict=True):
                self._take(line, [token])
        right = [row for row in range(begin, len(pool.live)) if pool.live[row].open and pool.live[row].on_draft]
        for row in right:
            pool.live[row].guess = pool.live[row].draft[len(pool.live[row].said) :]
        for chosen in batches([1 + len(pool.live[row].guess) for row in right], ENDS_TOKENS, busy=EVEN_ENDS):
            self._pass(pool, [right[i] for i in chosen])

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

    def _guess(self, live: Sequence[_Line], drafts: Drafts | None) -> list[list[int]]:
        """What other answers said next, for each line; put behind the lines while such guesses are right often enough
        to pay: the fewer rows a pass has, the less a guess costs beside it.
        """
        free = min(MOST_GUESSED, FREE_TOKENS // len(live) - 1)
        if drafts is None or free <= 0:
            return [[] for _ in live]
        found = [drafts.after(line.said, min(free, self.max_tokens - len(line.said) - 1)) for line in live]
        if drafts.share > len(live) / (len(live) + FREE_TOKENS):
            for line, guess in zip(live, found, strict=True):
                line.guess = guess
        return found

    def _pass(self, pool: _Pool, rows: Sequence[int]) -> None:
        """One pass of the lines in these rows."""
        lines = [pool.live[row] for row in rows]
        fed = [[line.said[-1], *line.guess] for line in lines]
        states = self.trunk.extend(pool.cache, rows, fed, [pool.past + line.known for line in lines])
        self.pace.passes += 1
        self._settle(lines, states, [0] * len(lines))

    def _close(self, pool: _Pool, drafts: Drafts | None) -> None:
        """Take the closed lines out of the pool; the last open one moves into each gap."""
        live = pool.live
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
                    pool.cache.move(len(live), row, pool.past + moved.known)


def _alike(prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    """The places of prompts that begin as most do, and of all others: a text without the chat form shares nothing. All
    together where there is not much to share, for the fewer rows a pass has the longer a row takes.
    """
    begins = Counter(prompt[0] for prompt in prompts)
    most = max(begins, key=lambda token: (begins[token], -token), default=0)
    alike, others = ([i for i, prompt in enumerate(prompts) if (prompt[0] == most) is same] for same in (True, False))
    shared = common_prefix([prompts[i] for i in alike], WORTH_SHARING) if alike else ()
    return [alike, others] if others and len(shared) == WORTH_SHARING else [[*range(len(prompts))]]
