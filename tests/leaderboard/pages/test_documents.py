"""The front page, the documents, the account pages, the error pages."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from knox.models import AuthToken

from leaderboard.accounts.models import User
from leaderboard.boards.models import BoardSnapshot
from leaderboard.core.markdown import markdown_render
from leaderboard.methods.models import Method
from leaderboard.runs.models import Run

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "path", ["/", "/boards/", "/methods/", "/compare/", "/methodology/", "/contract/", "/runs/", "/accounts/login/"]
)
def test_every_page_stands_on_an_empty_database(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    html = answer.content.decode()
    assert html.count("<h1") == 1
    assert 'lang="en"' in html
    assert " style=" not in html, "inline styles are refused by the content security policy"


@pytest.mark.parametrize("path", ["/accounts/signup/", "/accounts/password/reset/", "/accounts/logout/"])
def test_the_account_pages_wear_the_look_of_the_site(client: Client, path: str, user: User) -> None:
    if "logout" in path:
        client.force_login(user)
    html = client.get(path).content.decode()
    assert "site-head" in html
    assert "palimpsest/site.css" in html


def test_the_front_page_shows_the_hidden_board(client: Client, board: BoardSnapshot) -> None:
    html = client.get("/").content.decode()
    assert "Good editing" in html
    assert "All 5 entries" in html


def test_the_methodology_lists_every_column_with_its_help(client: Client, board: BoardSnapshot) -> None:
    html = client.get("/methodology/").content.decode()
    for column in board.payload["columns"]:
        assert f'id="metric-{column["key"]}"' in html
    assert "at most 28 bits" in html
    assert "a closed list of 16" in html
    assert "the 6 columns" in html


def test_the_contract_shows_tables_and_code(client: Client) -> None:
    html = client.get("/contract/").content.decode()
    assert "<table>" in html
    assert "base_mismatch" in html


def test_markdown_cannot_carry_a_script_or_a_picture() -> None:
    html = markdown_render("**a** <script>x</script> [b](javascript:alert(1)) ![c](http://t/x.png) [d](https://e.org)")
    assert "<strong>a</strong>" in html
    assert "<script" not in html
    assert "<img" not in html
    assert 'href="javascript' not in html
    assert 'rel="noopener noreferrer"' in html


def test_a_method_page_renders_markdown_and_escapes_the_rest(client: Client, user: User) -> None:
    Method.objects.create(
        slug="m",
        name="<i>M</i>",
        kind="editing",
        owner=user,
        description="*hi* <iframe>",
        authors=["<b>A</b>"],
        registered_at=timezone.now(),
    )
    html = client.get("/methods/m/").content.decode()
    assert "<em>hi</em>" in html
    for raw in ("<iframe", "<i>M", "<b>A"):
        assert raw not in html
    assert client.get("/methods/none/").status_code == 404


def test_a_new_token_is_shown_once_and_works(client: Client, user: User) -> None:
    client.force_login(user)
    html = client.post("/me/tokens/", {"days": 30}).content.decode()
    token = html.split('id="fresh-token">')[1].split("<")[0]
    assert token not in client.get("/me/tokens/").content.decode()
    assert AuthToken.objects.get().expiry is not None
    answer = Client().get("/api/v1/submissions/", headers={"Authorization": f"Token {token}"})
    assert answer.status_code == 200
    client.post(f"/me/tokens/{AuthToken.objects.get().token_key}/delete/")
    assert AuthToken.objects.count() == 0
    assert Client().get("/api/v1/submissions/", headers={"Authorization": f"Token {token}"}).status_code == 401


def test_nobody_revokes_the_token_of_somebody_else(client: Client, user: User, stranger: User) -> None:
    instance, _ = AuthToken.objects.create(user=user)
    client.force_login(stranger)
    assert client.post(f"/me/tokens/{instance.token_key}/delete/").status_code == 404
    assert AuthToken.objects.count() == 1


def test_tokens_have_a_limit_that_is_explained(client: Client, user: User, settings: Any) -> None:
    settings.REST_KNOX = settings.REST_KNOX | {"TOKEN_LIMIT_PER_USER": 1}
    AuthToken.objects.create(user=user)
    client.force_login(user)
    html = client.post("/me/tokens/", {"days": 0}).content.decode()
    assert "Revoke one below" in html
    assert AuthToken.objects.count() == 1


def test_my_submissions_are_mine(client: Client, queued: Run, user: User, stranger: User) -> None:
    assert client.get("/me/").status_code == 302
    client.force_login(user)
    assert queued.submission_id in client.get("/me/").content.decode()
    client.force_login(stranger)
    assert queued.submission_id not in client.get("/me/").content.decode()


def test_an_unknown_address_says_so_in_the_look_of_the_site(client: Client) -> None:
    answer = client.get("/no/such/page/")
    assert answer.status_code == 404
    assert b"/no/such/page/" in answer.content
    assert b"site-head" in answer.content


def test_registering_logs_in_and_logging_out_needs_a_post(client: Client) -> None:
    secret = "a-long-enough-phrase-7"
    client.post("/accounts/signup/", {"username": "eve", "email": "", "password1": secret, "password2": secret})
    assert User.objects.get().username == "eve"
    assert client.get("/me/").status_code == 200
    client.get("/accounts/logout/")
    assert client.get("/me/").status_code == 200
    client.post("/accounts/logout/")
    assert client.get("/me/").status_code == 302


def test_every_page_sends_a_policy_without_inline_scripts(client: Client, board: BoardSnapshot) -> None:
    for path in ("/", "/boards/toy-world-5/"):
        policy = client.get(path)["Content-Security-Policy"]
        script = next(part for part in policy.split(";") if "script-src" in part)
        assert "unsafe" not in script
