"""The audit log: every act has its entry, no entry can be changed, and a changed one is noticed."""

from __future__ import annotations

import csv
import io
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from knox.models import AuthToken

from leaderboard.accounts.models import User
from leaderboard.audit.models import START, AuditEntry
from leaderboard.audit.services import audit_record
from leaderboard.benchmarks.models import Release
from leaderboard.benchmarks.services import release_import
from leaderboard.boards.models import BoardSnapshot
from leaderboard.boards.services import board_publish
from leaderboard.core.append_only import AppendOnlyError, AppendOnlyModel, guards_drop, guards_make
from leaderboard.core.problems import Conflict
from leaderboard.methods.models import Method, SubmissionState
from leaderboard.runs import services
from leaderboard.runs.models import Run, RunEvent
from leaderboard.runs.states import RunState
from leaderboard.submissions.withdraw import submission_withdraw
from leaderboard.uploads.services import upload_finish
from leaderboard.worker import execute as worker
from leaderboard.worker import reaper
from tests.leaderboard.conftest import Submit
from tests.leaderboard.test_house import card, cards_write
from tests.leaderboard.uploads.conftest import archive_make, tus_of

pytestmark = pytest.mark.django_db


def acts(**filters: Any) -> list[tuple[str, str]]:
    """(actor, action) of every entry, oldest first; a worker's without its host."""
    found = AuditEntry.objects.filter(**filters).values_list("actor", "action")
    return [(actor.split(":")[0] if actor.startswith("worker") else actor, action) for actor, action in found]


def note(number: int = 1) -> AuditEntry:
    return audit_record(actor="user:ada", action="test.act", target=("thing", str(number)), after={"n": number})


def tamper(sql: str, *values: str | int) -> None:
    """Plain SQL by somebody who has the database and took its guards away."""
    with connection.cursor() as cursor:
        for statement in guards_drop(connection, "audit_auditentry"):
            cursor.execute(statement)
        cursor.execute(sql, values)
        for statement in guards_make(connection, "audit_auditentry"):
            cursor.execute(statement)


# --- what is recorded ------------------------------------------------------------------------------------------------


def test_a_submissions_whole_life_is_in_it(submit: Submit, public: Release) -> None:
    submission = submit(public)
    run = submission.runs.get()
    worker.work_until_empty()
    assert acts(object_type="method") == [("user:ada", "method.register"), ("inspection", "method.registered")]
    assert acts(object_type="submission", object_id=submission.id) == [
        ("user:ada", "submission.create"),
        ("inspection", "submission.transition"),
        ("inspection", "submission.transition"),
    ]
    entries = AuditEntry.objects.filter(object_type="run", object_id=run.id)
    moves = [(entry.before["state"], entry.after["state"]) for entry in entries]
    assert moves == [(event.from_state, event.to_state) for event in run.events.all()]
    assert moves[0] == ("", "QUEUED") and moves[-1] == ("SCORING", "SCORED")
    board_publish(release_slug=public.slug)
    assert acts(object_type="boardsnapshot") == [("board", "board.snapshot")]


def test_cancel_retry_withdraw_and_the_reaper_are_in_it(
    submit: Submit, public: Release, user: User, organiser: User
) -> None:
    first = submit(public).runs.get()
    services.run_cancel(run=first, user=organiser)
    second = submit(public, hparams={"behaviour": "platform-error-measuring"}, version="2").runs.get()
    for _ in range(3):
        Run.objects.filter(id=second.id).update(queued_at="2026-01-01T00:00:00Z")
        worker.work_until_empty()
    second.refresh_from_db()
    assert second.state == RunState.FAILED_PLATFORM
    services.run_retry(run=second, user=organiser)
    submission_withdraw(submission=second.submission, user=user)
    assert ("user:olga", "run.transition") in acts(object_id=first.id)
    retried = AuditEntry.objects.get(object_id=second.id, reason="retried")
    assert (retried.actor, retried.before["state"], retried.after["state"]) == (
        "user:olga",
        "FAILED_PLATFORM",
        "QUEUED",
    )
    assert acts(object_type="submission", object_id=second.submission_id)[-1] == ("user:ada", "submission.transition")


def test_a_submission_that_the_reaper_takes_back_is_in_it(submit: Submit, public: Release) -> None:
    from datetime import UTC, datetime

    submission = submit(public)
    type(submission).objects.filter(id=submission.id).update(
        state=SubmissionState.INSPECTING, updated_at="2026-01-01T00:00:00Z"
    )
    reaper.reap_uninspected(now=datetime.now(UTC))
    entry = AuditEntry.objects.filter(object_type="submission").last()
    assert entry is not None
    assert (entry.actor, entry.before, entry.after) == ("reaper", {"state": "INSPECTING"}, {"state": "SUBMITTED"})


def test_an_uploads_life_is_in_it(user: User, settings: Any) -> None:
    settings.UPLOAD_DISK_RESERVE_MB = 0
    tus = tus_of(user)
    path = tus.send(archive_make())
    ident = path.rstrip("/").rpartition("/")[2]
    upload_finish(upload_id=ident)
    assert tus.delete(path).status_code == 204
    found = AuditEntry.objects.filter(object_type="upload", object_id=ident)
    assert [(entry.actor, entry.before.get("state"), entry.after.get("state")) for entry in found] == [
        ("user:ada", None, None),
        ("user:ada", "RECEIVING", "CHECKING"),
        ("inspection", "CHECKING", "COMPLETE"),
        ("user:ada", "COMPLETE", "REMOVED"),
    ]


def test_a_refused_act_leaves_no_entry(queued: Run, user: User) -> None:
    services.run_cancel(run=queued, user=user)
    before = AuditEntry.objects.count()
    with pytest.raises(Conflict):
        services.run_cancel(run=queued, user=user)
    assert AuditEntry.objects.count() == before


def test_an_act_and_its_entry_go_together(queued: Run, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """No entry can be written: the act is not done either."""
    monkeypatch.setattr("leaderboard.runs.models.audit_record", lambda **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        services.run_cancel(run=queued, user=user)
    queued.refresh_from_db()
    assert queued.state == RunState.QUEUED
    assert queued.events.count() == 1


def test_what_organisers_change_in_the_admin_is_in_it_with_before_and_after(
    client: Client, organiser: User, submit: Submit, hidden: Release, stranger: User
) -> None:
    method = submit(hidden).method
    client.force_login(organiser)
    fields = {"slug": method.slug, "kind": method.kind, "owner": method.owner_id, "authors": '["A. Author"]'}
    answer = client.post(f"/admin/methods/method/{method.pk}/change/", fields | {"name": "Renamed"})
    assert answer.status_code == 302
    client.post(f"/admin/benchmarks/release/{hidden.pk}/change/", {"state": "retired"})
    hidden.refresh_from_db()
    assert hidden.state == "active", "a release retires by `manage.py release_rotate`, which opens its traces too"
    client.post("/admin/benchmarks/release/", {"action": "publish", "_selected_action": [hidden.pk]})
    client.post(
        "/admin/accounts/user/", {"action": "delete_selected", "_selected_action": [stranger.pk], "post": "yes"}
    )
    assert not User.objects.filter(pk=stranger.pk).exists()
    changed = AuditEntry.objects.get(action="method.change")
    assert changed.actor == "user:olga" and changed.request_id == answer["X-Request-ID"] and changed.client
    assert (changed.before["name"], changed.after["name"]) == ("Gradient difference", "Renamed")
    assert acts(action="board.publish") == [("user:olga", "board.publish")]
    assert AuditEntry.objects.get(action="user.delete").before == {"name": "bob"}


def test_a_password_set_in_the_admin_is_in_it_without_the_password(
    client: Client, organiser: User, stranger: User
) -> None:
    client.force_login(organiser)
    word = "a-new-horse-battery"
    form = {"password1": word, "password2": word, "usable_password": "true"}
    assert client.post(f"/admin/accounts/user/{stranger.pk}/password/", form).status_code == 302
    entry = AuditEntry.objects.get(action="user.change")
    assert entry.after == {"password": "… (changed)"}
    assert word not in json.dumps([entry.before, entry.after, entry.reason])


def test_signing_in_failing_to_and_tokens_are_in_it(client: Client, user: User) -> None:
    word = "correct horse battery"
    cache.clear()  # another test's failure on this account a moment ago would stand for these
    for _ in range(3):
        client.post("/accounts/login/", {"login": "ada", "password": "wrong"})
    client.post("/accounts/login/", {"login": "my-password-in-the-wrong-field", "password": "x"})
    client.post("/accounts/login/", {"login": "ada", "password": word})
    made = client.post(
        "/api/v1/auth/token/", {"username": "ada", "password": word}, content_type="application/json"
    ).json()
    client.delete("/api/v1/auth/token/", headers={"Authorization": f"Token {made['token']}"})
    client.post("/me/tokens/", {"days": "30"})
    key = AuthToken.objects.get().token_key
    client.post(f"/me/tokens/{key}/delete/")
    client.post("/accounts/logout/")
    assert acts(object_type__in=["user", "token"]) == [
        ("anonymous", "account.login-failed"),
        ("anonymous", "account.login-failed"),
        ("user:ada", "account.login"),
        ("user:ada", "token.create"),
        ("user:ada", "token.delete"),
        ("user:ada", "token.create"),
        ("user:ada", "token.delete"),
        ("user:ada", "account.logout"),
    ]
    text = json.dumps([str(entry.__dict__) for entry in AuditEntry.objects.all()])
    for secret in (made["token"], word, "my-password-in-the-wrong-field", "127.0.0.1"):
        assert secret not in text


def test_an_import_is_in_it_once_with_what_changed(tmp_path: Path) -> None:
    release_import(cards=cards_write(tmp_path / "cards", card("toy-world-5")))
    release_import(cards=cards_write(tmp_path / "cards", card("toy-world-5")))
    release_import(cards=cards_write(tmp_path / "cards", card("toy-world-5", "d")))
    first, second = AuditEntry.objects.filter(action="release.import")
    assert first.actor == "command:release_import" and first.after["size"] == "5"
    assert (second.before, second.after) == ({"content_sha256": "c" * 64}, {"content_sha256": "d" * 64})


# --- what cannot be changed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [AuditEntry, RunEvent, BoardSnapshot])
def test_the_database_itself_refuses_to_change_a_record(
    model: type[AppendOnlyModel], submit: Submit, public: Release
) -> None:
    submit(public)
    worker.work_until_empty()
    board_publish(release_slug=public.slug)
    rows: Any = model.objects.all()
    table, row = model._meta.db_table, rows[0]
    names = [str(field.column) for field in model._meta.concrete_fields]
    attempts = [f"UPDATE {table} SET id = id WHERE id = %s", f"DELETE FROM {table} WHERE id = %s"]
    if connection.vendor == "sqlite":
        attempts.append(f"INSERT OR REPLACE INTO {table} SELECT {', '.join(names)} FROM {table} WHERE id = %s")
    else:
        attempts.append(f"TRUNCATE {table} /* %s */")
        connection.check_constraints()  # no table is emptied while checks of its rows are put off
    for sql in attempts:
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql, [row.pk])
    for act in (model.objects.all().delete, lambda: rows.update(id=1), row.save, row.delete):
        with pytest.raises(AppendOnlyError):
            act()
    assert model.objects.filter(pk=row.pk).exists()


def test_every_record_has_its_guards_in_the_database() -> None:
    """SQLite drops them when a migration rebuilds the table: such a migration has to set them again."""
    sqlite = connection.vendor == "sqlite"
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'" if sqlite else "SELECT tgname FROM pg_trigger"
        )
        there = {name for (name,) in cursor.fetchall()}
    models = AppendOnlyModel.__subclasses__()
    assert {AuditEntry, RunEvent, BoardSnapshot} <= set(models)
    kinds = ("update", "delete", "replace") if sqlite else ("update", "delete")
    wanted = {f"{model._meta.db_table}_no_{what}" for model in models for what in kinds}
    assert wanted <= there


def test_an_untouched_log_verifies(capsys: pytest.CaptureFixture[str]) -> None:
    assert note().previous_sha256 == START
    head = [note(number) for number in range(2, 6)][-1].sha256
    call_command("audit_verify")
    assert f"5 entries, none changed, none missing; head {head}" in capsys.readouterr().out
    call_command("audit_verify", contains=head)


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("UPDATE audit_auditentry SET actor = 'user:nobody' WHERE object_id = '3'", "was changed"),
        ("""UPDATE audit_auditentry SET after = '{"n": 4}' WHERE object_id = '3'""", "was changed"),
        ("UPDATE audit_auditentry SET at = '2026-01-01 00:00:00' WHERE object_id = '3'", "was changed"),
        ("DELETE FROM audit_auditentry WHERE object_id = '3'", "does not follow"),
        ("DELETE FROM audit_auditentry WHERE object_id = '1'", "does not follow"),
        ("UPDATE audit_auditentry SET id = id + 10 WHERE object_id = '3'", "does not follow"),
    ],
)
def test_a_changed_removed_or_moved_entry_is_noticed(sql: str, problem: str) -> None:
    for number in range(1, 6):
        note(number)
    tamper(sql)
    with pytest.raises(CommandError, match=problem):
        call_command("audit_verify")


def test_a_log_cut_off_at_its_end_is_noticed_by_a_head_that_was_noted() -> None:
    entries = [note(number) for number in range(1, 6)]
    tamper("DELETE FROM audit_auditentry WHERE object_id = '5'")
    call_command("audit_verify")
    with pytest.raises(CommandError, match="cut off"):
        call_command("audit_verify", contains=entries[-1].sha256)


@pytest.mark.django_db(transaction=True)
def test_writers_at_once_make_one_chain() -> None:
    def write() -> None:
        for number in range(5):
            note(number)
        connection.close()

    writers = [threading.Thread(target=write) for _ in range(4)]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    assert AuditEntry.objects.count() == 20
    call_command("audit_verify")


def test_text_that_a_database_would_change_is_stored_as_it_is_hashed() -> None:
    audit_record(
        actor="user:x",
        action="test",
        target=("t", "1"),
        reason="a\x00b\ud800",
        after={"x": 0.1, "é": "\u202e", "n": 2**53},
    )
    call_command("audit_verify")


# --- who reads it ----------------------------------------------------------------------------------------------------


def test_organisers_filter_it_and_take_it_as_csv(client: Client, organiser: User, queued: Run) -> None:
    audit_record(actor="user:=cmd()", action="test.act", target=("thing", "=1+1"), reason="@x")
    client.force_login(organiser)
    listed = client.get("/admin/audit/auditentry/?action=test.act").content.decode()
    assert "user:=cmd()" in listed and queued.id not in listed
    answer = client.get("/admin/audit/auditentry/csv/?action=test.act")
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))  # type: ignore[attr-defined]
    assert [(row["action"], row["object_id"], row["reason"]) for row in rows] == [("test.act", "'=1+1", "'@x")]
    assert acts(action="audit.export") == [("user:olga", "audit.export")]


def test_nobody_else_reads_it_and_nobody_edits_it(client: Client, organiser: User, user: User) -> None:
    entry = note()
    pages = ["/admin/audit/auditentry/", "/admin/audit/auditentry/csv/", f"/admin/audit/auditentry/{entry.pk}/change/"]
    for page in pages:
        assert client.get(page).status_code == 302
    client.force_login(user)
    for page in pages:
        assert client.get(page).status_code == 302
    client.force_login(organiser)
    assert client.get(pages[2]).status_code == 200
    assert client.post(pages[2], {"actor": "user:x"}).status_code == 403
    assert client.post(f"/admin/audit/auditentry/{entry.pk}/delete/", {"post": "yes"}).status_code == 403
    assert Method.objects.count() == 0
