"""Sorts tests by directory into the groups that `make test` runs one after the other; the toy world's fixtures."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
REPOSITORY = HERE.parent
LIGHT = {"leaderboard", "house"}
NEVER_LIGHT = ("container", "browser", "chaos", "torch", "slow")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks each test `light` or `heavy`, or `browser`; a test is in exactly one of the three."""
    for item in items:
        room = item.path.relative_to(HERE).parts[0]
        if room == "browser" or item.get_closest_marker("browser"):
            item.add_marker("browser")
        elif room in LIGHT and not any(item.get_closest_marker(name) for name in NEVER_LIGHT):
            item.add_marker("light")
        else:
            item.add_marker("heavy")


# ---------------------------------------------------------------- the toy world, a real small model


def _toy_key() -> str:
    """Changes when anything that makes the toy model or its releases changes."""
    digest = hashlib.sha256()
    for room in ("attacks", "benchmark", "measures", "model", "probes", "tasks", "utility"):
        for file in sorted((REPOSITORY / "evaluator" / room).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _evaluator(home: Path, *arguments: str) -> str:
    environment = os.environ | {"PALIMPSEST_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "evaluator", *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def toy_cache() -> Path:
    """A data folder with the toy model and its releases, made once and kept between sessions."""
    root = Path(os.environ.get("PALIMPSEST_TEST_CACHE") or REPOSITORY / "build" / "test-cache")
    home = root / f"toy-{_toy_key()}"
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "ready").is_file():
            shutil.rmtree(home, ignore_errors=True)
            for split in ("public", "hidden"):
                _evaluator(home, "build", "--benchmark", "toy-world", "--size", "5", "--split", split)
            (home / "ready").touch()
    return home


@pytest.fixture(scope="session")
def toy_home(toy_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh PALIMPSEST_HOME for this session: toy model, `toy-world-5` and `-public`. Images are shared."""
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(toy_cache, home, dirs_exist_ok=True)
    images = toy_cache.parent / "images"
    images.mkdir(exist_ok=True)
    (home / "images").symlink_to(images)
    return home


@pytest.fixture(scope="session")
def reference_image(toy_home: Path) -> str:
    """The reference image, built for real; its layers are kept between sessions. Needs podman and root."""
    return _evaluator(toy_home, "image").strip()


# ---------------------------------------------------------------- the site's database


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: object) -> None:
    """As pytest-django makes it; only the emptying of tables between tests may pass by what guards the records."""
    from django.db import connection

    from leaderboard.core.append_only import AppendOnlyModel, guards_drop, guards_make

    tables = [model._meta.db_table for model in AppendOnlyModel.__subclasses__()]
    flush = connection.ops.sql_flush

    def flush_unguarded(*arguments: object, **options: object) -> list[str]:
        drop = [statement for table in tables for statement in guards_drop(connection, table)]
        make = [statement for table in tables for statement in guards_make(connection, table)]
        return [*drop, *flush(*arguments, **options), *make]  # type: ignore[arg-type]

    connection.ops.sql_flush = flush_unguarded  # type: ignore[method-assign]
