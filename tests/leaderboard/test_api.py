"""The REST API: what it answers, and how it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from leaderboard.accounts.models import User
from leaderboard.audit.models import AuditEntry
from leaderboard.benchmarks.models import Release
from leaderboard.boards.services import board_publish
from leaderboard.runs.models import Run, Worker
from leaderboard.runs.states import RunState
from leaderboard.worker import execute as worker
from tests.leaderboard.conftest import Submit, digest_make, manifest_make

pytestmark = pytest.mark.django_db
JSON = "application/json"


def errors_of(answer: Any) -> list[dict[str, str]]:
    body = answer.json()
    assert set(body) == {"errors"}
    assert all(set(item) == {"field", "value", "problem", "remedy"} for item in body["errors"])
    return list(body["errors"])


@pytest.fixture
def token(client: Client, user: User) -> str:
    body = {"username": "ada", "password": "correct horse battery"}
    return str(client.post("/api/v1/auth/token/", body, JSON).json()["token"])


@pytest.fixture
def api(client: Client, token: str) -> Client:
    client.defaults["HTTP_AUTHORIZATION"] = f"Token {token}"
    return client


def body_make(release: Release, **changes: Any) -> dict[str, Any]:
    return {"image": digest_make(), "manifest": manifest_make(), "releases": [release.slug]} | changes


def test_a_submission_goes_in_and_comes_back(api: Client, hidden: Release) -> None:
    answer = api.post("/api/v1/submissions/", body_make(hidden), JSON)
    assert answer.status_code == 201
    body = answer.json()
    assert (body["state"], body["releases"], body["tryout"]) == ("SUBMITTED", [hidden.slug], True)
    assert body["manifest"]["name"] == "Gradient difference"
    assert body["url"].endswith(f"/submissions/{body['id']}/")
    assert api.get(f"/api/v1/submissions/{body['id']}/").json() == body
    assert api.get("/api/v1/submissions/").json()["count"] == 1


def test_every_problem_comes_at_once(api: Client, hidden: Release) -> None:
    body = body_make(hidden, image="latest", manifest=manifest_make(colour=1), releases=["nope"])
    answer = api.post("/api/v1/submissions/", body, JSON)
    assert answer.status_code == 400
    assert [item["field"] for item in errors_of(answer)] == ["manifest.colour", "image", "releases"]


def test_missing_fields_are_named(api: Client) -> None:
    answer = api.post("/api/v1/submissions/", {"seeds": ["x"]}, JSON)
    assert answer.status_code == 400
    assert {item["field"] for item in errors_of(answer)} == {"image", "manifest", "releases", "seeds.0"}


def test_broken_json_is_a_400(api: Client) -> None:
    answer = api.post("/api/v1/submissions/", "{", JSON)
    assert answer.status_code == 400
    assert errors_of(answer)[0]["field"] == "body"


def test_a_repeat_is_a_409_that_names_the_first(api: Client, hidden: Release) -> None:
    first = api.post("/api/v1/submissions/", body_make(hidden), JSON).json()["id"]
    answer = api.post("/api/v1/submissions/", body_make(hidden), JSON)
    assert answer.status_code == 409
    assert first in errors_of(answer)[0]["problem"]


@pytest.mark.parametrize(
    ("header", "field"), [(None, "token"), ("Token wrong", "token"), ("Bearer x", "Authorization")]
)
def test_no_token_or_a_bad_one_is_a_401_that_says_how_to_get_one(
    client: Client, hidden: Release, header: str | None, field: str
) -> None:
    headers = {"Authorization": header} if header else {}
    answer = client.post("/api/v1/submissions/", body_make(hidden), JSON, headers=headers)
    assert answer.status_code == 401
    problem = errors_of(answer)[0]
    assert problem["field"] == field
    assert "palimpsest login" in problem["remedy"]


def test_a_wrong_password_is_a_401_and_is_not_echoed(client: Client, user: User) -> None:
    answer = client.post("/api/v1/auth/token/", {"username": "ada", "password": "hunter2"}, JSON)
    assert answer.status_code == 401
    assert "hunter2" not in answer.content.decode()


def test_a_deleted_token_opens_nothing(api: Client, hidden: Release) -> None:
    assert api.delete("/api/v1/auth/token/").status_code == 204
    assert api.post("/api/v1/submissions/", body_make(hidden), JSON).status_code == 401


@pytest.mark.parametrize(
    "path", ["submissions/snope/", "runs/rnope/", "boards/nope/", "methods/nope/", "benchmarks/nope/"]
)
def test_what_is_not_known_is_a_404(client: Client, db: None, path: str) -> None:
    answer = client.get(f"/api/v1/{path}")
    assert answer.status_code == 404
    assert errors_of(answer)[0]["problem"] == "is not known"


def test_a_hidden_runs_answer_withholds_for_its_submitter(api: Client, submit: Submit, hidden: Release) -> None:
    run = submit(hidden, hparams={"behaviour": "method-error-measuring"}).runs.get()
    worker.work_until_empty()
    answer = api.get(f"/api/v1/runs/{run.id}/")
    assert "hidden answer" not in answer.content.decode()
    assert answer.json()["failure_code"] == "method_error"
    assert api.get(f"/api/v1/runs/{run.id}/log/").json() == {"text": "", "offset": 0, "detail": ""}
    assert api.get(f"/api/v1/runs/{run.id}/log/?offset=-1").status_code == 400


def test_a_run_is_cancelled_by_its_submitter_only(api: Client, submit: Submit, public: Release, stranger: User) -> None:
    run = submit(public).runs.get()
    assert api.get(f"/api/v1/runs/{run.id}/").json()["queue_position"] == 1
    theirs = submit(public, by=stranger, name="Other").runs.get()
    assert api.post(f"/api/v1/runs/{theirs.id}/cancel/").status_code == 403
    assert api.post(f"/api/v1/runs/{run.id}/cancel/").json()["state"] == "CANCELLED"
    assert api.post(f"/api/v1/runs/{run.id}/cancel/").status_code == 409
    assert api.post(f"/api/v1/runs/{run.id}/retry/").status_code == 409


def test_a_run_that_the_platform_failed_is_retried_by_its_submitter_a_few_times(
    api: Client, submit: Submit, public: Release, stranger: User
) -> None:
    run = submit(public).runs.get()
    theirs = submit(public, by=stranger, name="Other").runs.get()
    Run.objects.update(state=RunState.FAILED_PLATFORM, failure_code="platform_error")
    assert api.post(f"/api/v1/runs/{theirs.id}/retry/").status_code == 403
    for left in (2, 1):
        shown = api.get(f"/api/v1/runs/{run.id}/").json()
        assert (shown["may_retry"], shown["retries_left"], shown["queue_position"]) == (True, left, None)
        assert api.post(f"/api/v1/runs/{run.id}/retry/").json()["state"] == "QUEUED"
        Run.objects.filter(id=run.id).update(state=RunState.FAILED_PLATFORM)
    shown = api.get(f"/api/v1/runs/{run.id}/").json()
    assert (shown["may_retry"], shown["retries_left"]) == (False, 0)
    answer = api.post(f"/api/v1/runs/{run.id}/retry/")
    assert answer.status_code == 409
    assert errors_of(answer)[0]["remedy"] == "ask an organiser"


def test_a_waiting_run_says_when_it_is_expected_to_start(api: Client, submit: Submit, public: Release) -> None:
    submit(public)
    worker.work_until_empty()
    run = submit(public, name="Other").runs.get()
    assert api.get(f"/api/v1/runs/{run.id}/").json()["expected_start"] == ""
    now = timezone.now()
    Worker.objects.create(name="worker:one:1", host="one", started_at=now, seen_at=now)
    shown = api.get(f"/api/v1/runs/{run.id}/").json()
    assert (shown["queue_position"], shown["expected_start"]) == (1, "within a minute")


def test_a_board_is_served_as_it_was_published(client: Client, submit: Submit, public: Release) -> None:
    assert client.get(f"/api/v1/boards/{public.slug}/").status_code == 404
    submit(public)
    worker.work_until_empty()
    snapshot = board_publish(release_slug=public.slug)
    assert snapshot is not None
    assert client.get(f"/api/v1/boards/{public.slug}/").json() == json.loads(json.dumps(snapshot.payload))
    assert client.get("/api/v1/boards/").json()[0]["revision"] == 1


@pytest.mark.parametrize(
    ("path", "limit"), [("boards/toy-world-5-public/", 1), ("boards/", 2), ("runs/", 5), ("submissions/", 6)]
)
def test_queries_do_not_grow_with_rows(
    client: Client, submit: Submit, public: Release, path: str, limit: int, django_assert_max_num_queries: Any
) -> None:
    for number in range(4):
        submit(public, name=f"m{number}")
    worker.work_until_empty()
    board_publish(release_slug=public.slug)
    with django_assert_max_num_queries(limit):
        assert client.get(f"/api/v1/{path}").status_code == 200


def test_lists_are_filtered_and_refuse_nonsense(client: Client, submit: Submit, public: Release) -> None:
    submit(public)
    assert client.get("/api/v1/runs/?state=QUEUED").json()["count"] == 1
    assert client.get("/api/v1/runs/?state=SCORED").json()["count"] == 0
    answer = client.get("/api/v1/runs/?state=MAYBE")
    assert answer.status_code == 400
    assert errors_of(answer)[0]["field"] == "state"


def test_a_method_is_registered_through_the_api(api: Client) -> None:
    answer = api.post("/api/v1/methods/", {"name": "ROME", "kind": "editing"}, JSON)
    assert answer.status_code == 201
    assert answer.json()["owner"] == "ada"
    assert api.post("/api/v1/methods/", {"name": "ROME", "kind": "editing"}, JSON).status_code == 409
    assert api.get("/api/v1/methods/rome/").json()["n_scored"] == 0


def test_health_and_readiness(client: Client, db: None) -> None:
    assert client.get("/healthz").json() == {"ok": True}
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["database"] == {"ok": True}
    assert answer.json()["worker"]["ok"] is False


def test_the_docs_page_needs_no_other_site(client: Client, db: None) -> None:
    page = client.get("/api/docs/")
    assert page.status_code == 200
    assert b"https://cdn" not in page.content
    assert b"swagger-ui" in page.content
    assert client.get("/api/schema/").status_code == 200


def test_withdrawing(api: Client, submit: Submit, public: Release) -> None:
    submission = submit(public)
    assert api.post(f"/api/v1/submissions/{submission.id}/withdraw/").json()["state"] == "WITHDRAWN"
    assert api.post(f"/api/v1/submissions/{submission.id}/withdraw/").status_code == 409
    assert Run.objects.get().state == "CANCELLED"


def test_an_organiser_opens_the_log_of_a_hidden_run_over_the_api_and_that_is_recorded(
    client: Client, submit: Submit, hidden: Release, organiser: User, stranger: User
) -> None:
    run = submit(hidden, hparams={"behaviour": "method-error-measuring"}).runs.get()
    worker.work_until_empty()
    nothing = {"text": "", "offset": 0, "detail": ""}
    assert client.get(f"/api/v1/runs/{run.id}/log/").json() == nothing
    client.force_login(stranger)
    assert client.get(f"/api/v1/runs/{run.id}/log/").json() == nothing
    client.force_login(organiser)
    shown = client.get(f"/api/v1/runs/{run.id}/").content.decode() + client.get("/api/v1/runs/").content.decode()
    assert '"may_look":true' in shown and "hidden answer" not in shown and "says hello" not in shown
    assert not AuditEntry.objects.filter(action="run.look").exists()
    opened = client.get(f"/api/v1/runs/{run.id}/log/").json()
    assert opened == {"text": "the method says hello\n", "offset": 22, "detail": "Traceback: a hidden answer"}
    assert AuditEntry.objects.get(action="run.look").actor == "user:olga"
