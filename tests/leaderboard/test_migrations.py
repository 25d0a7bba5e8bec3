"""An older database goes on: what its rows meant, they mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from evaluator.contract import manifest_parse
from tests.leaderboard.conftest import manifest_make

BEFORE, AFTER = [("methods", "0002_images_by_tag_and_archive")], [("methods", "0004_one_entry_an_image")]


@pytest.fixture
def before(transactional_db: None) -> Iterator[Any]:
    """The models as they were before names were registered at acceptance; afterwards every migration is there again."""
    executor = MigrationExecutor(connection)
    executor.migrate(BEFORE)
    yield executor.loader.project_state(BEFORE).apps
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


def test_names_are_registered_and_entries_identified_as_they_were(before: Any) -> None:
    person = before.get_model("accounts", "User").objects.create(username="ada")
    method_model, submission_model = before.get_model("methods", "Method"), before.get_model("methods", "Submission")
    accepted, refused = (
        method_model.objects.create(slug=slug, name=name, kind="editing", owner=person)
        for slug, name in (("good-edit", "Good edit"), ("squatted", "Squatted"))
    )
    first, second, other = manifest_make(), manifest_make(version="2"), manifest_make(hparams={"steps": 2})

    def submitted(number: int, method: Any, state: str, manifest: dict[str, Any], image: str) -> None:
        submission_model.objects.create(
            id=f"s{number}",
            method=method,
            submitter=person,
            version=manifest["version"],
            image=image,
            digest=image,
            image_id=image if state == "ACCEPTED" else "",
            manifest=manifest,
            manifest_sha256=manifest_parse(manifest).digest(),
            division="weights",
            state=state,
        )

    submitted(1, accepted, "ACCEPTED", first, "sha256:a")
    submitted(2, accepted, "ACCEPTED", second, "sha256:a")  # was another entry then, and stays one
    submitted(3, accepted, "ACCEPTED", other, "sha256:a")
    submitted(4, refused, "REFUSED", first, "sha256:b")
    executor = MigrationExecutor(connection)
    executor.migrate(AFTER)
    after = executor.loader.project_state(AFTER).apps
    methods = {method.slug: method for method in after.get_model("methods", "Method").objects.all()}
    assert methods["good-edit"].registered_at is not None
    assert methods["squatted"].registered_at is None
    assert methods["good-edit"].skeleton == "goodedlt"
    entries = dict(after.get_model("methods", "Submission").objects.values_list("id", "entry_sha256"))
    assert entries["s1"] == entries["s4"] == manifest_parse(first).entry_digest()
    assert entries["s2"] == manifest_parse(second).digest() != entries["s1"]
    assert entries["s3"] == manifest_parse(other).entry_digest()
