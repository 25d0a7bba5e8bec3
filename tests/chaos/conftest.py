"""Sites for the chaos tests: one with the protocol's evaluator, one with the real one on the toy world."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.servers import Postgres, Redis
from tests.chaos.site import ROOT, Site
from tests.leaderboard.test_house import card, cards_write

METHOD = Path(__file__).with_name("method")
PROTOCOL = f"{sys.executable},{ROOT}/tests/leaderboard/protocol_evaluator.py"


_numbers = count(1)


class ProductionSite(Site):
    """As an operator runs it: settings from the environment, PostgreSQL and Redis."""

    settings = "production"

    def __init__(self, home: Path, server: Postgres, database: str, *, broker: str, **env: str) -> None:
        self.server, self.database = server, database
        given = {"SECRET_KEY": "k" * 50, "ALLOWED_HOSTS": "localhost", "LOG_JSON": "false"}
        super().__init__(home, **given, DATABASE_URL=server.url(database), BROKER_URL=broker, **env)

    def is_made(self) -> bool:
        return True

    def rows(self, query: str, *arguments: Any) -> list[Mapping[str, Any]]:
        with self.server.connect(self.database) as link:
            return list(link.execute(query.replace("?", "%s"), arguments).fetchall())


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with tables and one release, made once and copied for each test."""
    home = tmp_path_factory.mktemp("migrated")
    cards_write(home / "cards", card("toy-world-5"))
    Site(home).close()
    return home / "db.sqlite3"


@pytest.fixture
def protocol_site(tmp_path: Path, migrated: Path) -> Iterator[Site]:
    """A site whose evaluator keeps the protocol and measures nothing: fast."""
    with sqlite3.connect(migrated) as source, sqlite3.connect(tmp_path / "db.sqlite3") as target:
        source.backup(target)
    site = Site(tmp_path, EVALUATOR_COMMAND=PROTOCOL)
    yield site
    site.close()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A real server, with a database of tables and one release to copy from."""
    server = Postgres()
    home = tmp_path_factory.mktemp("production")
    cards_write(home / "cards", card("toy-world-5"))
    server.create("migrated")
    ProductionSite(home, server, "migrated", broker="memory://").make()
    yield server
    server.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Redis]:
    """A real Redis."""
    server = Redis(tmp_path)
    yield server
    server.kill()


@pytest.fixture
def production_site(tmp_path: Path, postgres: Postgres, broker: Redis) -> Iterator[ProductionSite]:
    """A site with production's settings on a real PostgreSQL and a real Redis; its evaluator keeps the protocol."""
    name = f"site{next(_numbers)}"
    postgres.create(name, "migrated")
    site = ProductionSite(tmp_path, postgres, name, broker=broker.url, EVALUATOR_COMMAND=PROTOCOL)
    yield site
    site.close()


@pytest.fixture
def real_site(toy_home: Path, tmp_path: Path) -> Iterator[Site]:
    """A site with the real evaluator on the toy world; methods run by the process backend."""
    home = tmp_path / "home"
    shutil.copytree(toy_home, home, symlinks=True)
    method = tmp_path / "method"
    shutil.copytree(METHOD, method)
    site = Site(home, EVALUATOR_BACKEND="process")
    yield site
    site.close()


@pytest.fixture
def real_submission(real_site: Site, tmp_path: Path) -> dict[str, object]:
    """What to submit to `real_site`: a method that takes some seconds and counts how often it was started."""
    manifest = {
        "contract": 1,
        "name": "Slow copy",
        "version": "1",
        "kind": "editing",
        "division": "weights",
        "authors": ["Palimpsest"],
        "hparams": {"sleep_s": 4, "journal": str(tmp_path / "journal")},
    }
    return {"image": str(tmp_path / "method"), "manifest": manifest, "releases": ["toy-world-5"], "tryout": False}
