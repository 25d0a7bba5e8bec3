"""What each person sees of a run: a hidden split leaks neither text, digits nor times."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from django.contrib.auth.models import AnonymousUser
from hypothesis import given
from hypothesis import strategies as st

from evaluator.contract.disclosure import number_shown
from leaderboard.accounts.models import User
from leaderboard.audit.models import AuditEntry
from leaderboard.benchmarks.models import Release
from leaderboard.runs.models import Run
from leaderboard.runs.output import RunOutput, run_output
from leaderboard.runs.policies import run_view
from leaderboard.runs.selectors import run_get
from leaderboard.worker import execute as worker
from tests.leaderboard.conftest import Submit

pytestmark = pytest.mark.django_db


def done(run: Run) -> Run:
    worker.work_until_empty()
    return run_get(run_id=run.id)


def test_a_hidden_run_shows_its_submitter_rounded_scores_and_no_times(
    submit: Submit, hidden: Release, user: User
) -> None:
    run = done(submit(hidden).runs.get())
    view = run_view(run, user)
    assert view.hidden
    scores = {score.key: score.value for score in view.scores}
    assert scores == {"overall": 0.12, "forgetting": 0.12, "unlearn_wall_s": 50.0}
    assert view.duration == "under 1 min"
    assert view.finished_at is None
    assert view.trace_redacted is True
    assert view.receipt["signature"], (
        "a hidden run's receipt is signed coarse by the evaluator, so that all may check it"
    )
    text = json.dumps(dataclasses.asdict(view))
    for secret in ("secret-ish", "37.31", "0.123"):
        assert secret not in text


def test_of_a_hidden_run_only_organisers_see_where_its_seconds_went(
    submit: Submit, hidden: Release, user: User, stranger: User, organiser: User
) -> None:
    run = done(submit(hidden).runs.get())
    for other in (user, stranger, AnonymousUser()):
        view = run_view(run, other)
        assert view.seconds is None
        assert "12.69" not in json.dumps(dataclasses.asdict(view)), "nor do they elsewhere"
    seen = run_view(run, organiser).seconds
    assert seen is not None and seen.accepted_a_pass == 2.25
    assert [(line.label, line.wall_s, line.percent) for line in seen.stages] == [
        ("Unlearning, the method's own", 37.31, "75 %"),
        ("Generation", 12.69, "25 %"),
    ]
    Release.objects.update(state="retired")
    opened = run_view(run_get(run_id=run.id), AnonymousUser()).seconds
    assert opened == seen, "a release that retires opens"


def test_where_the_seconds_of_a_public_run_went_is_for_everybody(submit: Submit, public: Release) -> None:
    view = run_view(done(submit(public).runs.get()), AnonymousUser())
    assert view.seconds is not None and view.seconds.wall_s == 50.0
    Run.objects.update(seconds={})
    assert run_view(run_get(run_id=view.id), AnonymousUser()).seconds is None, "an older evaluator kept no such record"


def test_an_organiser_sees_the_exact_numbers_of_a_hidden_run(submit: Submit, hidden: Release, organiser: User) -> None:
    view = run_view(done(submit(hidden).runs.get()), organiser)
    assert not view.hidden
    assert {s.key: s.value for s in view.scores}["overall"] == 0.123456789


def test_a_failed_hidden_run_gives_its_submitter_a_code_and_a_remedy_only(
    submit: Submit, hidden: Release, user: User, organiser: User
) -> None:
    run = done(submit(hidden, hparams={"behaviour": "method-error-measuring"}).runs.get())
    view = run_view(run, user)
    assert (view.failure_code, view.detail, view.log_tail, view.message) == ("method_error", "", "", "")
    assert view.fraction is None
    assert "palimpsest try" in view.remedy
    assert run_output(run, user) == RunOutput()
    assert run_view(run, organiser).detail == "", "opened by an act of its own"
    assert "hidden answer" in run_output(run, organiser).detail


def test_a_public_run_shows_its_submitter_everything_and_others_no_output(
    submit: Submit, public: Release, user: User, stranger: User
) -> None:
    run = done(submit(public, hparams={"behaviour": "method-error-measuring"}).runs.get())
    assert "Traceback" in run_view(run, user).detail
    assert run_output(run, user).text == "the method says hello\n"
    for other in (stranger, AnonymousUser()):
        assert run_view(run, other).detail == ""
        assert run_output(run, other) == RunOutput()


def looks(run: Run) -> list[str]:
    return list(AuditEntry.objects.filter(action="run.look", object_id=run.id).values_list("actor", flat=True))


def test_a_look_at_what_a_hidden_run_printed_is_recorded_and_for_organisers_only(
    submit: Submit, hidden: Release, user: User, stranger: User, organiser: User
) -> None:
    run = done(submit(hidden).runs.get())
    for other in (user, stranger, AnonymousUser()):
        assert run_output(run, other) == RunOutput()
        assert run_view(run, other).log_tail == run_view(run, other).detail == ""
    assert run_view(run, organiser).log_tail == ""
    assert looks(run) == []
    assert run_output(run, organiser).text == "the method says hello\n"
    assert run_output(run, organiser, offset=4).text == "method says hello\n"
    assert looks(run) == ["user:olga", "user:olga"]


def test_without_its_entry_there_is_no_look(
    submit: Submit, hidden: Release, organiser: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = done(submit(hidden).runs.get())
    monkeypatch.setattr("leaderboard.runs.output.audit_record", lambda **_: 1 / 0)
    monkeypatch.setattr("leaderboard.runs.output._log", lambda *_: pytest.fail("it was read"))
    with pytest.raises(ZeroDivisionError):
        run_output(run, organiser)


def test_a_running_hidden_runs_log_is_open_to_organisers_as_it_grows(
    submit: Submit, hidden: Release, organiser: User, tmp_path: Path
) -> None:
    run = submit(hidden).runs.get()
    Run.objects.filter(id=run.id).update(state="UNLEARNING")
    (tmp_path / "runs" / run.id / "out").mkdir(parents=True)
    (tmp_path / "runs" / run.id / "out" / "run.log").write_text("so far")
    assert run_output(run_get(run_id=run.id), organiser).text == "so far"


def test_a_retired_release_opens(submit: Submit, hidden: Release) -> None:
    run = done(submit(hidden).runs.get())
    Release.objects.update(state="retired")
    view = run_view(run_get(run_id=run.id), AnonymousUser())
    assert {s.key: s.value for s in view.scores}["overall"] == 0.123456789


def test_a_running_hidden_run_shows_its_state_but_not_the_methods_own_progress(
    submit: Submit, hidden: Release, user: User
) -> None:
    run = submit(hidden).runs.get()
    Run.objects.filter(id=run.id).update(state="UNLEARNING", stage="unlearning", fraction=0.314, message="token 42")
    view = run_view(run_get(run_id=run.id), user)
    assert (view.stage, view.fraction, view.message) == ("unlearning", None, "")


@given(st.floats(min_value=1e-3, max_value=1e6))
def test_withheld_seconds_are_one_of_three_steps_a_decade_and_never_smaller(value: float) -> None:
    shown = number_shown(value, group="cost")
    assert shown is not None
    assert shown >= value * (1 - 1e-6)
    assert f"{shown:.0e}"[0] in "125"


def test_what_was_not_run_stays_not_run() -> None:
    assert number_shown(None, group="refusal") is None
