"""Layout of a scoring call: sequences become packed rows in which every shared prefix stands once.

Pure Python over token ids, so that the layout, and with it every score, depends on the requests alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

#: A row takes unrelated sequences up to this many tokens: longer rows waste attention on masked pairs.
ROW_TOKENS = 128
#: A row that shares at least `SHARED_TOKENS` with the next sequence may grow to this: cheaper than a second time.
SHARED_ROW_TOKENS = 640
SHARED_TOKENS = 6
#: A row shorter than this share of its batch's longest is left to another batch.
EVEN_SHARE = 0.85

Pair = tuple[Sequence[int], Sequence[int]]


@dataclass
class Row:
    """A forest of token sequences in depth-first order. Node i holds `tokens[i]` at position `depths[i]`.

    `parents[i]` is the node before it, -1 where the call's shared prefix comes before it.
    """

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class Layout:
    """`prefix` is common to all sequences. `labels[p]` = (row, nodes): where pair p's T continuation tokens are
    predicted; the node of the first one is the last token of the context.
    """

    prefix: tuple[int, ...]
    rows: tuple[Row, ...]
    labels: tuple[tuple[int, tuple[int, ...]], ...]

    @property
    def tokens(self) -> int:
        """Tokens that the trunk computes, padding apart."""
        return len(self.prefix) + sum(len(row) for row in self.rows)


def common_prefix(sequences: Sequence[Sequence[int]], limit: int) -> tuple[int, ...]:
    """The longest common prefix of the sequences, at most `limit` tokens."""
    first, last = min(map(tuple, sequences)), max(map(tuple, sequences))
    size = 0
    for a, b in zip(first[:limit], last, strict=False):
        if a != b:
            break
        size += 1
    return first[:size]


def pack(pairs: Sequence[Pair], *, share_prefix: bool = True) -> Layout:
    """Lay out (context, continuation) pairs; contexts must not be empty, continuations may be.

    The last token of a continuation is only a label: it takes no place in a row.
    Raises `ValueError` for an empty context, which has no position that predicts the first token.
    """
    if any(not context for context, _ in pairs):
        raise ValueError("context: is empty, so nothing predicts the first token; begin it with the prefix token")
    inputs = [
        [*context, *continuation][: max(len(context), len(context) + len(continuation) - 1)]
        for context, continuation in pairs
    ]
    if not inputs:
        return Layout((), (), ())
    shareable = len(inputs) > 1 and share_prefix
    prefix = common_prefix(inputs, min(len(context) for context, _ in pairs) - 1) if shareable else ()
    rows: list[Row] = []
    labels: list[tuple[int, tuple[int, ...]]] = [(0, ())] * len(pairs)
    path: list[int] = []
    before: list[int] = []
    for index in sorted(range(len(inputs)), key=lambda i: inputs[i]):
        sequence = inputs[index][len(prefix) :]
        shared = 0
        while shared < min(len(sequence), len(before)) and sequence[shared] == before[shared]:
            shared += 1
        limit = SHARED_ROW_TOKENS if shared >= SHARED_TOKENS else ROW_TOKENS
        if not rows or len(rows[-1]) + len(sequence) - shared > limit:
            rows.append(Row())
            path, shared = [], 0
        row = rows[-1]
        del path[shared:]
        for depth in range(shared, len(sequence)):
            row.tokens.append(sequence[depth])
            row.parents.append(path[-1] if path else -1)
            row.depths.append(len(prefix) + depth)
            path.append(len(row) - 1)
        before = sequence
        context, continuation = pairs[index]
        start = len(context) - 1 - len(prefix)
        labels[index] = (len(rows) - 1, tuple(path[start : start + len(continuation)]))
    return Layout(prefix, tuple(rows), tuple(labels))


def batches(lengths: Sequence[int], budget: int, *, busy: int | None = None) -> Iterator[list[int]]:
    """Indices in descending length, cut so that rows x longest stays within a budget of tokens.

    With `busy`, a batch of at least that many tokens is also cut before a row much shorter than its longest:
    padding would cost more than another pass.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    batch: list[int] = []
    for index in order:
        longest = lengths[batch[0]] if batch else lengths[index]
        full = (len(batch) + 1) * max(longest, 1) > budget
        uneven = busy is not None and len(batch) * longest >= busy and lengths[index] < EVEN_SHARE * longest
        if batch and (full or uneven):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
