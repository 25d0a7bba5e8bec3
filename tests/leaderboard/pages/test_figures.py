"""The front of a scatter and the places of its names."""

from __future__ import annotations

from leaderboard.boards.figures import labels_place, pareto_front


def test_the_front_is_what_nothing_beats_on_both_axes() -> None:
    assert pareto_front([(0.9, 0.2), (0.5, 0.5), (0.4, 0.4), (0.2, 0.9)]) == [(0.9, 0.2), (0.5, 0.5), (0.2, 0.9)]
    assert pareto_front([(1.0, 1.0), (1.0, 0.5), (0.5, 1.0)]) == [(1.0, 1.0)]
    assert pareto_front([]) == []


def test_names_that_would_cover_each_other_are_placed_apart_or_left_out() -> None:
    same = [(0.5, 0.5, "a name of some length")] * 12
    places = labels_place(same)
    given = [place for place in places if place]
    assert len(given) == len(set(given))
    assert None in places


def test_a_name_does_not_leave_the_plot() -> None:
    (place,) = labels_place([(1.1, 0.5, "quite a long name for a method")])
    assert place is not None
    assert place.endswith("left")
