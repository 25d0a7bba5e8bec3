"""Requests of the API as the field writes them: whatever comes, the answer is JSON, and a problem says what to do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from evaluator.sandbox.output import Output, log_path
from leaderboard.accounts.models import User
from leaderboard.api.views.benchmarks import BenchmarkViewSet
from leaderboard.benchmarks.models import Release
from leaderboard.methods.models import Submission
from leaderboard.runs.models import Run
from leaderboard.runs.selectors import run_folder
from leaderboard.runs.states import RunState
from leaderboard.worker.ingest import log_tail_read
from tests.leaderboard.conftest import manifest_make
from tests.leaderboard.test_api import JSON, api, body_make, errors_of, token

__all__ = ["api", "token"]
pytestmark = pytest.mark.django_db
POSTS = ("/api/v1/auth/token/", "/api/v1/submissions/", "/api/v1/methods/")


@pytest.fixture(autouse=True)
def _answers(client: Client) -> None:
    client.raise_request_exception = False  # as a browser sees it


@pytest.mark.parametrize("depth", [70, 900, 100_000])
@pytest.mark.parametrize("address", POSTS)
def test_json_of_great_depth_is_a_problem_of_the_body(api: Client, address: str, depth: int) -> None:
    for body in ("[" * depth + "]" * depth, '{"name":' * depth + "1" + "}" * depth):
        answer = api.post(address, body, JSON)
        assert answer.status_code == 400
        (problem,) = errors_of(answer)
        assert (problem["field"], "deep" in problem["problem"]) == ("body", True)


def test_a_manifest_of_great_depth_is_a_problem_of_the_manifest(api: Client, public: Release) -> None:
    deep: list[Any] = []
    for _ in range(40):
        deep = [deep]
    answer = api.post("/api/v1/submissions/", body_make(public, manifest=manifest_make(hparams={"x": deep})), JSON)
    assert answer.status_code == 400
    assert errors_of(answer)[0]["field"].startswith("manifest.hparams.x")


@pytest.mark.parametrize("field", ["username", "password"])
def test_half_a_character_at_the_login_is_a_problem(client: Client, field: str) -> None:
    body = {"username": "ada", "password": "x"} | {field: "\ud800"}
    answer = client.post("/api/v1/auth/token/", json.dumps(body), JSON)
    assert answer.status_code == 400
    assert errors_of(answer)[0]["field"] == field


@pytest.mark.parametrize("where", ["image", "releases", "method"])
def test_half_a_character_in_a_submission_is_a_problem(api: Client, public: Release, where: str) -> None:
    value: Any = ["\ud800"] if where == "releases" else "\ud800"
    answer = api.post("/api/v1/submissions/", json.dumps(body_make(public) | {where: value}), JSON)
    assert answer.status_code == 400
    assert errors_of(answer)[0]["field"].startswith(where)


@pytest.mark.parametrize("address", ["/accounts/login/", "/accounts/signup/"])
def test_a_form_in_a_charset_that_can_spell_half_characters_is_refused(client: Client, address: str) -> None:
    part = '--b\r\nContent-Disposition: form-data; name="{}"\r\n\r\n+2AA-\r\n'
    body = "".join(part.format(name) for name in ("login", "username", "password", "password1", "password2")) + "--b--"
    answer = client.post(address, body.encode(), "multipart/form-data; boundary=b; charset=utf-7")
    assert answer.status_code == 415
    assert errors_of(answer)[0]["value"] == "charset=utf-7"


@pytest.mark.parametrize("header", ["Token \xe9", "Token \x00", "Token a b", "Token", "Token " + "a" * 5000])
def test_what_can_be_no_token_is_a_401(client: Client, header: str) -> None:
    answer = client.get("/api/v1/runs/", HTTP_AUTHORIZATION=header)
    assert answer.status_code == 401
    assert errors_of(answer)[0]["field"] == "token"


def test_another_scheme_is_named(client: Client) -> None:
    answer = client.post("/api/v1/submissions/", {}, JSON, HTTP_AUTHORIZATION="Bearer 0123456789abcdef")
    assert answer.status_code == 401
    (problem,) = errors_of(answer)
    assert (problem["field"], problem["value"]) == ("Authorization", "Bearer")
    assert "Token" in problem["remedy"]


@pytest.mark.parametrize("address", POSTS)
def test_a_body_of_20_mb_is_a_413(api: Client, address: str) -> None:
    answer = api.post(address, b'{"name": "' + b"x" * 20_000_000 + b'"}', JSON)
    assert answer.status_code == 413
    assert errors_of(answer)[0]["field"] == "body"


def test_a_byte_order_mark_before_json_is_dropped(api: Client, public: Release) -> None:
    answer = api.post("/api/v1/submissions/", b"\xef\xbb\xbf" + json.dumps(body_make(public)).encode(), JSON)
    assert answer.status_code == 201


@pytest.mark.parametrize("address", ["/api/v1/nothing/", "/api/", "/api/v1/runs/r1/nothing/"])
def test_an_unknown_address_is_a_problem(client: Client, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 404
    assert errors_of(answer)[0]["value"] == address


def test_a_fault_of_the_site_is_a_problem_with_the_id_of_the_request(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(BenchmarkViewSet, "get_queryset", broken)
    answer = client.get("/api/v1/benchmarks/")
    assert answer.status_code == 500
    assert errors_of(answer)[0]["value"] == answer["X-Request-ID"]


@pytest.mark.parametrize("address", POSTS)
def test_a_post_without_the_last_slash_stays_a_post(api: Client, address: str) -> None:
    answer = api.post(address.rstrip("/"), {}, JSON)
    assert (answer.status_code, answer["Location"]) == (308, address)
    assert address in errors_of(answer)[0]["remedy"]


def test_who_follows_it_submits(api: Client, user: User, public: Release) -> None:
    answer = api.post("/api/v1/submissions", body_make(public), JSON, follow=True)
    assert answer.status_code == 201
    assert Submission.objects.get().submitter == user


def test_a_get_without_the_last_slash_is_sent_on_as_ever(client: Client) -> None:
    assert client.get("/api/v1/runs").status_code == 301


def test_a_long_log_is_followed_to_its_end(api: Client, queued: Run) -> None:
    out = run_folder(queued.id) / "out"
    output = Output(log_path(out / "run.log"))
    address, at, read, wanted = f"/api/v1/runs/{queued.id}/log/", 0, "", ""
    for number in range(8):
        text = f"{number}" * 30_000 + "\n"
        wanted += text
        output.feed(1, text.encode())
        output._write()
        found = api.get(address, {"offset": at}).json()
        assert found["offset"] == at + len(found["text"])
        read, at = read + found["text"], found["offset"]
    output.close()
    assert (read, at) == (wanted, 8 * 30_001)
    Run.objects.filter(pk=queued.pk).update(state=RunState.SCORED, log_tail=log_tail_read(out))
    assert api.get(address, {"offset": at}).json()["text"] == ""
    assert api.get(address, {"offset": at - 5}).json()["text"] == "7777\n"


@pytest.mark.parametrize("offset", ["1" + "0" * 23, "-1", "x", "1.5"])
def test_an_offset_that_is_none_is_named(api: Client, queued: Run, offset: str) -> None:
    answer = api.get(f"/api/v1/runs/{queued.id}/log/", {"offset": offset})
    assert answer.status_code == 400
    (problem,) = errors_of(answer)
    assert (problem["field"], problem["value"]) == ("offset", offset)
