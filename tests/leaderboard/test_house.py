"""The site's house: settings that hold, releases that are imported once, an admin that opens, a fast start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from leaderboard.accounts.models import User
from leaderboard.benchmarks.models import Release
from leaderboard.benchmarks.services import release_import
from leaderboard.config.celery import app
from leaderboard.core.home import secret_key_load
from leaderboard.core.problems import Refused
from leaderboard.worker import execute as worker
from tests.leaderboard.conftest import Submit

ROOT = Path(__file__).parents[2]


def card(slug: str, content: str = "c") -> dict[str, Any]:
    return {
        "slug": slug,
        "benchmark": "toy-world",
        "title": "Toy world",
        "track": "pretrained",
        "split": "hidden",
        "size": 5,
        "version": "1",
        "base_name": "toy-llama",
        "base_sha256": "b" * 64,
        "content_sha256": content * 64,
        "probe_counts": {"verbatim": 5},
        "n_subjects": 5,
        "licence": "CC0-1.0",
        "sources": ["own"],
        "created_at": "2026-01-01T00:00:00Z",
    }


def cards_write(folder: Path, *found: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    for item in found:
        (folder / f"{item['slug']}.json").write_text(json.dumps(item))
    return folder


@pytest.mark.django_db
def test_importing_releases_twice_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cards = cards_write(tmp_path / "cards", card("toy-world-5"), card("toy-world-10"))
    call_command("release_import", cards=cards)
    call_command("release_import", cards=cards)
    assert Release.objects.count() == 2
    assert capsys.readouterr().out.count("known") == 2


@pytest.mark.django_db
def test_a_retired_release_stays_retired_when_imported_again(tmp_path: Path) -> None:
    cards = cards_write(tmp_path / "cards", card("toy-world-5"))
    release_import(cards=cards)
    Release.objects.update(state="retired")
    release_import(cards=cards)
    assert Release.objects.get().state == "retired"


@pytest.mark.django_db
def test_a_release_that_was_scored_on_cannot_change(tmp_path: Path, submit: Submit, hidden: Release) -> None:
    submit(hidden)
    worker.work_until_empty()
    cards = cards_write(tmp_path / "cards", card(hidden.slug, "d"))
    with pytest.raises(Refused, match="differs from the release"):
        release_import(cards=cards)


@pytest.mark.django_db
def test_a_bad_card_and_a_missing_folder_are_told(tmp_path: Path) -> None:
    cards = cards_write(tmp_path / "cards", {"slug": "x"}, card("toy-world-5"))
    with pytest.raises(CommandError, match=r"x\.json"):
        call_command("release_import", cards=cards)
    assert not Release.objects.exists()
    with pytest.raises(CommandError, match="build a release first"):
        call_command("release_import", cards=tmp_path / "nowhere")


def test_the_queue_reads_the_projects_settings() -> None:
    """Without the namespace Celery ignores them all, silently."""
    assert app.conf.worker_prefetch_multiplier == 1
    assert app.conf.task_ignore_result is True
    assert app.conf.broker_url == "filesystem://"
    assert 0.05 <= app.conf.broker_transport_options["polling_interval"] <= 0.5
    assert app.conf.beat_schedule["reap"]["schedule"] == 10.0
    app.loader.import_default_modules()
    wanted = {"run_next", "reap", "submission_inspect", "upload_finish", "board_publish"}
    assert {f"leaderboard.worker.tasks.{name}" for name in wanted} <= set(app.tasks)


@pytest.mark.django_db
def test_the_database_is_a_file_in_wal_mode() -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        assert cursor.fetchone() == ("wal",)
        cursor.execute("PRAGMA foreign_keys")
        assert cursor.fetchone() == (1,)


def test_the_secret_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    first = secret_key_load(tmp_path)
    assert len(first) >= 50
    assert secret_key_load(tmp_path) == first
    (path,) = tmp_path.iterdir()
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.django_db
def test_the_schema_is_clean(tmp_path: Path) -> None:
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema.yml"))


def run_python(code: str, tmp_path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PALIMPSEST_HOME": str(tmp_path / "home"), **env}
    return subprocess.run(
        [sys.executable, *code.split(" ", 1)] if code.startswith("manage.py") else [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        text=True,
        capture_output=True,
        timeout=60,
    )


def test_production_settings_pass_the_deploy_checks(tmp_path: Path) -> None:
    env = {
        "DJANGO_SETTINGS_MODULE": "leaderboard.config.settings.production",
        "SECRET_KEY": "correct-horse-battery-staple-and-fifty-more-letters-0123456789",
        "ALLOWED_HOSTS": "palimpsest.example",
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "BROKER_URL": "redis://localhost:6379/0",
    }
    code = "import django;django.setup();from django.core.management import call_command as c;"
    done = run_python(code + "c('check', deploy=True, fail_level='WARNING')", tmp_path, **env)
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout + done.stderr


def test_the_web_process_starts_fast_and_without_torch(tmp_path: Path) -> None:
    code = "import sys, leaderboard.config.wsgi; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    started = time.process_time()
    began = os.times().children_user
    done = run_python(code, tmp_path)
    cpu_s = os.times().children_user - began + time.process_time() - started
    assert done.stdout.strip() == "[]", done.stderr
    assert cpu_s < 3.0


@pytest.mark.django_db
def test_every_admin_page_opens(client: Client, organiser: User, submit: Submit, public: Release) -> None:
    from django.contrib import admin
    from django.urls import reverse

    submit(public)
    worker.work_until_empty()
    client.force_login(organiser)
    for model, page in admin.site._registry.items():
        label = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        assert client.get(reverse(f"{label}_changelist")).status_code == 200, model
        row = model._default_manager.first()
        if row is not None:
            assert client.get(reverse(f"{label}_change", args=[row.pk])).status_code == 200, (model, page)


@pytest.mark.django_db
def test_organisers_cancel_from_the_admin(client: Client, organiser: User, submit: Submit, public: Release) -> None:
    run = submit(public).runs.get()
    client.force_login(organiser)
    client.post("/admin/runs/run/", {"action": "cancel", "_selected_action": [run.pk]})
    run.refresh_from_db()
    assert run.state == "CANCELLED"
