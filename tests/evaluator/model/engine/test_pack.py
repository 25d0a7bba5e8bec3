"""The layout of a scoring call, without a model: nothing is lost, nothing is computed twice."""

from __future__ import annotations

import random

import pytest

from evaluator.model.engine.pack import ROW_TOKENS, Layout, Pair, batches, common_prefix, pack


def sequence_before(layout: Layout, row: int, node: int) -> list[int]:
    """The tokens that a node sees: its ancestors and itself, after the shared prefix."""
    own: list[int] = []
    while node >= 0:
        own.append(layout.rows[row].tokens[node])
        node = layout.rows[row].parents[node]
    return [*layout.prefix, *reversed(own)]


def random_pairs(count: int, seed: int) -> list[Pair]:
    rng = random.Random(seed)
    system = [rng.randrange(9) for _ in range(rng.randrange(12))]
    prompts = [system + [rng.randrange(9) for _ in range(rng.randrange(1, 40))] for _ in range(5)]
    return [(rng.choice(prompts), [rng.randrange(9) for _ in range(rng.randrange(0, 30))]) for _ in range(count)]


@pytest.mark.parametrize("seed", range(20))
def test_every_label_is_predicted_by_exactly_what_comes_before_it(seed: int) -> None:
    pairs = random_pairs(30, seed)
    layout = pack(pairs)
    for (context, continuation), (row, nodes) in zip(pairs, layout.labels, strict=True):
        assert len(nodes) == len(continuation)
        for t, node in enumerate(nodes):
            assert sequence_before(layout, row, node) == [*context, *continuation[:t]]
            assert layout.rows[row].depths[node] == len(context) + t - 1


def test_a_prompt_with_several_answers_is_computed_once() -> None:
    prompt = list(range(100, 140))
    layout = pack([(prompt, [answer, 1, 2]) for answer in range(7)])
    # 39 shared prompt tokens, its last token, and two inputs of each answer.
    assert layout.tokens == 39 + 1 + 7 * 2


def test_the_same_pair_twice_costs_nothing_more() -> None:
    pair = ([1, 2, 3], [4, 5])
    assert pack([pair, pair, pair]).tokens == pack([pair, ([1, 2, 3], [4, 5])]).tokens == 4


def test_the_layout_depends_on_the_requests_alone_not_on_their_order() -> None:
    pairs = random_pairs(40, 3)
    shuffled = random.Random(1).sample(pairs, len(pairs))
    assert pack(pairs).rows == pack(shuffled).rows


def test_unrelated_sequences_do_not_make_rows_longer_than_the_limit() -> None:
    pairs: list[Pair] = [([n, *range(30)], [1]) for n in range(50)]
    assert all(len(row) <= ROW_TOKENS for row in pack(pairs).rows)


def test_a_sequence_longer_than_a_row_has_its_own() -> None:
    layout = pack([(list(range(1000)), [1, 2]), ([5], [6])])
    assert max(len(row) for row in layout.rows) == 1001


def test_an_empty_context_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="context: is empty"):
        pack([([], [1, 2])])


def test_an_empty_continuation_has_no_labels() -> None:
    assert pack([([1, 2], [])]).labels == ((0, ()),)


def test_nothing_asked_is_nothing_laid_out() -> None:
    assert pack([]).rows == ()


def test_the_common_prefix_stops_at_the_first_difference_and_at_the_limit() -> None:
    assert common_prefix([[1, 2, 3, 4], [1, 2, 9]], 10) == (1, 2)
    assert common_prefix([[1, 2, 3], [1, 2, 3]], 2) == (1, 2)


def test_batches_keep_the_budget_and_lose_no_row() -> None:
    lengths = [random.Random(n).randrange(1, 300) for n in range(100)]
    found = list(batches(lengths, 1000, busy=256))
    assert sorted(i for batch in found for i in batch) == list(range(100))
    assert all(len(batch) * max(lengths[i] for i in batch) <= 1000 for batch in found)


def test_rows_of_unlike_length_do_not_share_a_batch_when_passes_are_full_anyway() -> None:
    assert [len(batch) for batch in batches([300, 290, 20, 20], 4000, busy=256)] == [2, 2]
