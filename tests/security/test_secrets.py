"""The site's secrets are in no log line, error page, file of a run, process's arguments or child's environment."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from django.conf import settings as site_settings
from django.test import Client
from knox.models import AuthToken

from leaderboard.accounts.models import User
from leaderboard.benchmarks.models import Release
from leaderboard.core import secrets
from leaderboard.core.logs import RedactingFormatter
from leaderboard.core.secrets import secrets_redact
from leaderboard.methods.models import Submission
from leaderboard.submissions.inspect import submission_inspect
from leaderboard.worker import execute as worker
from tests.leaderboard.conftest import _site, digest_make, manifest_make, public, user  # noqa: F401
from tests.leaderboard.test_cli import MANIFEST, Shell

PASSWORD = "correct horse battery"
SECRETS = {
    "SECRET_KEY": "site-secret-key-0123456789-abcdefghijklmnopqrstuvwxyz",
    "DATABASE_URL": "postgres://palimpsest:database-word-77@db.example/palimpsest",
    "BROKER_URL": "redis://:broker-word-88@redis.example:6379/0",
    "S3_SECRET_KEY": "bucket-word-99",
    "EMAIL_URL": "smtp://site:mail-word-66@mail.example:587",
    "PALIMPSEST_TOKEN": "client-token-of-somebody-55",
}
WORDS = [
    SECRETS["SECRET_KEY"],
    "database-word-77",
    "broker-word-88",
    "bucket-word-99",
    "mail-word-66",
    "client-token-of",
]
PRIVATE_KEY = (
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIHVuLXNlY3JldC1rZXktb2YtcmVjZWlwdHM\n-----END PRIVATE KEY-----\n"
)


@pytest.fixture
def told(settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[io.StringIO]:
    """Everything that is logged meanwhile at any level, formatted as the site formats it, with the secrets in place."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    settings.SECRET_KEY = SECRETS["SECRET_KEY"]
    settings.EVALUATOR_COMMAND = [sys.executable, str(Path(__file__).with_name("recording_evaluator.py"))]
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "receipt.pem").write_text(PRIVATE_KEY)
    secrets._known.cache_clear()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    line = {key: value for key, value in settings.LOGGING["formatters"]["line"].items() if key != "()"}
    handler.setFormatter(RedactingFormatter(**line))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)
    secrets._known.cache_clear()


@pytest.fixture
def arguments() -> Iterator[set[str]]:
    """The arguments of every process on this machine, looked at again and again."""
    seen: set[str] = set()
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.02):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(path.read_text(errors="replace"))
                except OSError:
                    continue

    thread = threading.Thread(target=look)
    thread.start()
    yield seen
    stop.set()
    thread.join()


def held(text: str, *more: str) -> list[str]:
    return [word for word in (*WORDS, PASSWORD, PRIVATE_KEY.splitlines()[1], *more) if word in text]


@pytest.mark.django_db(transaction=True)
def test_no_secret_is_written_down_on_the_whole_way_of_a_submission(
    told: io.StringIO,
    arguments: set[str],
    client: Client,
    live_server: Any,
    user: User,  # noqa: F811
    public: Release,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sign in and fail to, with the page, the API and the client; submit; run; break; read what is left."""
    client.post("/accounts/login/", {"login": "ada", "password": f"{PASSWORD} wrong"})
    client.post("/accounts/login/", {"login": "ada", "password": PASSWORD})
    session = client.cookies["sessionid"].value
    home = tmp_path / "shell"
    (home / "method").mkdir(parents=True)
    (home / "method" / "method.toml").write_text(MANIFEST)
    shell = Shell(home, live_server.url)
    shell("login", "--username", "ada", PALIMPSEST_PASSWORD=PASSWORD)
    token = (home / ".config" / "palimpsest" / "config.toml").read_text().split('token = "')[1].split('"')[0]
    assert AuthToken.objects.filter(token_key=token[:15]).exists()
    shell("submit", "method", "--image", digest_make(), "--benchmark", public.slug, "--no-tryout")
    signed = {"Authorization": f"Token {token}", "Cookie": f"sessionid={session}"}
    body = {"image": digest_make(2), "manifest": manifest_make(name="Other"), "releases": [public.slug]}
    client.post("/api/v1/submissions/", body, content_type="application/json", headers=signed)
    for submission in Submission.objects.all():
        submission_inspect(submission_id=submission.id)
    assert worker.work_until_empty() == 2

    def broken(*_: Any, **__: Any) -> None:
        logging.getLogger("somebody.elses").error("headers %s", {"Authorization": f"Token {token}", "cookie": session})
        structlog.get_logger("ours").error("away", url=SECRETS["DATABASE_URL"], password=PASSWORD, key=PRIVATE_KEY)
        raise RuntimeError(f"{SECRETS['SECRET_KEY']} {SECRETS['BROKER_URL']} sessionid={session}")

    monkeypatch.setattr("leaderboard.pages.runs.run_view", broken)
    monkeypatch.setattr("leaderboard.api.views.runs.run_view", broken)
    client.raise_request_exception = False
    assert site_settings.DEBUG is False
    pages = [client.get("/runs/", headers=signed), client.get("/api/v1/runs/", headers=signed)]
    assert [page.status_code for page in pages] == [500, 500]

    lines = told.getvalue()
    assert "RuntimeError" in lines and "Traceback" in lines and secrets.WITHHELD in lines
    assert held(lines, token, session) == []
    assert held("".join(page.content.decode() for page in pages), token, session) == []
    files = [path for path in tmp_path.rglob("*") if path.is_file() and "keys" not in path.parts]
    names = {path.name for path in files}
    assert {"job.json", "evaluator.log", "run.log", "scorecard.json", "receipt.json"} <= names
    left = [path for path in files if "runs" in path.parts or "media" in path.parts or "given" in path.parts]
    for path in left:
        assert held(path.read_bytes().decode(errors="replace"), token, session) == [], path
    given = [json.loads(path.read_text()) for path in (tmp_path / "given").iterdir()]
    assert {item["arguments"][1] for item in given} >= {"inspect", "run"}
    assert not set(SECRETS) & {name for item in given for name in item["environment"]}
    assert any("protocol_evaluator" in line for line in arguments), "the looks came in time"
    assert held("\n".join(arguments), token, session) == []


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("could not connect to postgres://me:pass-word@host/db", "pass-word"),
        ("GET / Authorization: Token 0123456789abcdef0123456789abcdef", "0123456789abcdef"),
        ("{'Authorization': 'Bearer abcdefghijklmnop.qrst'}", "abcdefghijklmnop"),
        ('{"password": "hunter22"}', "hunter22"),
        ("sessionid=abc123def; csrftoken=zyx987", "abc123def"),
        ("sessionid=abc123def; csrftoken=zyx987", "zyx987"),
        ("SECRET_KEY = 'swordfish'", "swordfish"),
        (f"key {PRIVATE_KEY} end", "MC4CAQAw"),
        (f"cut off {PRIVATE_KEY[:60]}", "MC4CAQAw"),
    ],
)
def test_what_has_the_form_of_a_secret_is_withheld(text: str, secret: str) -> None:
    shown = secrets_redact(text)
    assert secret not in shown and secrets.WITHHELD in shown


@pytest.mark.parametrize(
    "text",
    [
        "run rabc123 was=QUEUED now=LEASED actor=worker:vm:1 note='attempt 1'",
        "POST /api/v1/auth/token/ 201",
        "the token budget is 4,096; 300 tokens a row",
        "http://127.0.0.1:8000/runs/ answered 500",
        "image registry.example/team/x@sha256:" + "a" * 64,
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert secrets_redact(text) == text
