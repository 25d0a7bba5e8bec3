"""Boards: published after a scored run, immutable, and read with few queries."""

from __future__ import annotations

from typing import Any

import pytest

from leaderboard.accounts.models import User
from leaderboard.benchmarks.models import Release
from leaderboard.boards.models import BoardSnapshot
from leaderboard.boards.selectors import board_latest, board_list, board_revision
from leaderboard.boards.services import RankingFailed, board_publish, boards_refresh
from leaderboard.core import task_messages
from leaderboard.core.append_only import AppendOnlyError
from leaderboard.submissions.withdraw import submission_withdraw
from leaderboard.worker import execute as worker
from tests.leaderboard.conftest import Submit

pytestmark = pytest.mark.django_db


def scored(submit: Submit, release: Release, *values: float) -> list[Any]:
    found = [submit(release, name=f"Method {n}", hparams={"value": value}) for n, value in enumerate(values)]
    worker.work_until_empty()
    return found


def test_the_board_json_is_what_was_promised(submit: Submit, public: Release) -> None:
    low, high = scored(submit, public, 0.25, 0.75)
    snapshot = board_publish(release_slug=public.slug)
    assert snapshot is not None
    board = snapshot.payload
    assert {"board", "release", "evaluator", "generated_at", "columns", "rows"} <= set(board)
    assert {"key", "label", "direction", "help"} <= set(board["columns"][0])
    first, second = board["rows"]
    assert (first["submission"], second["submission"]) == (high.id, low.id)
    assert first["rank"] == first["rank_low"] == first["rank_high"] == 1
    assert (first["method"], first["division"], first["kind"]) == ("Method 1", "weights", "unlearning")
    assert first["scores"]["overall"] == {"value": 0.75, "low": 0.1, "high": 0.2}


def test_the_board_keeps_paired_differences_to_the_base_to_the_next_and_of_every_pair(
    submit: Submit, public: Release
) -> None:
    good = submit(public, name="Good", hparams={"value": 0.75})
    base = submit(public, name="Untouched base", kind="control", hparams={"value": 0.25})
    impostor = submit(public, name="Other", hparams={"value": 0.5})
    worker.work_until_empty()
    snapshot = board_publish(release_slug=public.slug)
    assert snapshot is not None
    first, second, last = snapshot.payload["rows"]
    assert (first["submission"], second["submission"], last["submission"]) == (good.id, impostor.id, base.id)
    assert first["differences"]["base"]["id"] == base.id and first["differences"]["base"]["value"] == 0.5
    assert first["differences"]["next"]["id"] == impostor.id
    assert last["differences"] == {"base": None, "next": None}
    assert set(snapshot.payload["pairs"]["overall"]["ids"]) == {good.id, base.id, impostor.id}
    assert snapshot.payload["mde"] == 0.05


def test_a_method_that_is_no_control_is_not_taken_for_the_base(submit: Submit, public: Release) -> None:
    submit(public, name="Untouched base", kind="editing", hparams={"value": 0.25})
    submit(public, name="Good", hparams={"value": 0.75})
    worker.work_until_empty()
    snapshot = board_publish(release_slug=public.slug)
    assert snapshot is not None
    assert [row["differences"]["base"] for row in snapshot.payload["rows"]] == [None, None]


def test_of_a_method_the_version_that_was_sent_last_stands_and_tries_are_counted(
    submit: Submit, public: Release, user: User, organiser: User
) -> None:
    best = submit(public, name="Tuned", hparams={"value": 0.75})
    last = submit(public, name="Tuned", version="2", hparams={"value": 0.25})
    other = submit(public, name="Other", hparams={"value": 0.5})
    submit(public, name="Reference", by=organiser, hparams={"value": 0.4})
    worker.work_until_empty()
    snapshot = board_publish(release_slug=public.slug)
    assert snapshot is not None
    tries = {row["submission"]: row["tries"] for row in snapshot.payload["rows"]}
    assert best.id not in tries
    assert (tries[last.id], tries[other.id]) == (3, 3)
    assert sorted(tries.values()) == [0, 3, 3], "an organiser's entries are no tries"
    submission_withdraw(submission=last, user=user)
    again = board_publish(release_slug=public.slug)
    assert again is not None
    tries = {row["submission"]: row["tries"] for row in again.payload["rows"]}
    assert tries[best.id] == 3, "a withdrawn try has been one"


def test_a_hidden_board_has_withheld_numbers(submit: Submit, hidden: Release) -> None:
    scored(submit, hidden, 0.123456789)
    snapshot = board_publish(release_slug=hidden.slug)
    assert snapshot is not None
    scores = snapshot.payload["rows"][0]["scores"]
    assert scores["overall"]["value"] == 0.12
    assert scores["unlearn_wall_s"]["value"] == 50.0


def test_publishing_again_without_a_change_makes_no_revision(submit: Submit, public: Release) -> None:
    scored(submit, public, 0.5)
    first = board_publish(release_slug=public.slug)
    assert board_publish(release_slug=public.slug) == first
    scored(submit, public, 0.6)
    second = board_publish(release_slug=public.slug)
    assert first is not None
    assert second is not None
    assert (first.revision, second.revision) == (1, 2)
    kept = board_revision(release_slug=public.slug, evaluator=first.evaluator, revision=1)
    assert kept.payload == first.payload
    assert board_latest(release_slug=public.slug) == second


def test_a_withdrawn_submission_leaves_the_next_revision(submit: Submit, public: Release, user: User) -> None:
    stays, goes = scored(submit, public, 0.5, 0.6)
    board_publish(release_slug=public.slug)
    submission_withdraw(submission=goes, user=user)
    snapshot = board_publish(release_slug=public.slug)
    assert snapshot is not None
    assert [row["submission"] for row in snapshot.payload["rows"]] == [stays.id]


def test_a_snapshot_is_never_changed(submit: Submit, public: Release) -> None:
    scored(submit, public, 0.5)
    snapshot = board_publish(release_slug=public.slug)
    assert snapshot is not None
    with pytest.raises(AppendOnlyError):
        snapshot.save()
    with pytest.raises(AppendOnlyError):
        snapshot.delete()


def test_no_board_without_a_score(public: Release) -> None:
    assert board_publish(release_slug=public.slug) is None
    assert boards_refresh() == 0


def test_a_board_whose_message_was_lost_is_published_by_the_reaper(submit: Submit, public: Release) -> None:
    scored(submit, public, 0.5)
    assert boards_refresh() == 1
    assert boards_refresh() == 0
    assert BoardSnapshot.objects.count() == 1


def test_a_scored_run_rings_for_its_board(
    submit: Submit, public: Release, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    heard: list[tuple[str, str]] = []
    monkeypatch.setattr(task_messages, "_send", lambda task, ident: heard.append((task, ident)))
    with django_capture_on_commit_callbacks(execute=True):
        scored(submit, public, 0.5)
    assert (task_messages.BOARD_PUBLISH, public.slug) in heard


def test_a_ranking_that_fails_stores_nothing(submit: Submit, public: Release, settings: Any) -> None:
    scored(submit, public, 0.5)
    settings.EVALUATOR_COMMAND = ["false"]
    with pytest.raises(RankingFailed):
        board_publish(release_slug=public.slug)
    assert not BoardSnapshot.objects.exists()


def test_the_list_of_boards_takes_two_queries(
    submit: Submit, public: Release, hidden: Release, django_assert_num_queries: Any
) -> None:
    scored(submit, public, 0.5, 0.6)
    board_publish(release_slug=public.slug)
    with django_assert_num_queries(2):
        lines = board_list()
    assert {line.release.slug: line.n_rows for line in lines} == {public.slug: 2, hidden.slug: 0}
