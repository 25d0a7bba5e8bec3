"""A manifest's faults are named all at once, each with field, value and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluator.contract import (
    ARCHIVE_REFERENCE,
    IMAGE_REFERENCE,
    IMAGE_TAG,
    ManifestError,
    manifest_load,
    manifest_parse,
)

GOOD = {"contract": 1, "name": "rome", "version": "1", "kind": "editing", "division": "weights", "authors": ["A"]}


def test_an_unknown_key_names_the_nearest_known_one() -> None:
    with pytest.raises(ManifestError) as caught:
        manifest_parse(GOOD | {"autors": ["B"], "run": {"arg": ["x"]}})
    by_field = {problem["field"]: problem for problem in caught.value.problems}
    assert "`authors`" in by_field["autors"]["remedy"]
    assert "`args`" in by_field["run.arg"]["remedy"]


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(ManifestError) as caught:
        manifest_parse(
            {"contract": 2, "name": "", "version": "1", "kind": "magic", "division": "weights", "authors": []}
        )
    assert {problem["field"] for problem in caught.value.problems} == {"contract", "name", "kind", "authors"}
    assert all(problem["problem"] and problem["remedy"] for problem in caught.value.problems)


@pytest.mark.parametrize("data", [None, [], "text", 3])
def test_something_that_is_no_table_is_refused(data: object) -> None:
    with pytest.raises(ManifestError, match="not a table"):
        manifest_parse(data)


def test_hyperparameters_that_are_no_json_are_refused() -> None:
    with pytest.raises(ManifestError, match="hparams"):
        manifest_parse(GOOD | {"hparams": {"lr": float("nan")}})


def test_a_broken_file_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "method.toml"
    path.write_text("contract = ")
    with pytest.raises(ManifestError, match="cannot be parsed"):
        manifest_load(path)


def test_the_digest_depends_on_content_not_on_order() -> None:
    other = dict(reversed(GOOD.items()))
    assert manifest_parse(GOOD).digest() == manifest_parse(other).digest()
    assert manifest_parse(GOOD).digest() != manifest_parse(GOOD | {"version": "2"}).digest()


@pytest.mark.parametrize(
    ("reference", "by_digest"),
    [
        ("sha256:" + "a" * 64, True),
        ("host/team/x@sha256:" + "b" * 64, True),
        ("team/x:latest", False),
        ("x@sha256:12", False),
        ("archive@sha256:" + "c" * 64, True),
        ("sha256:" + "a" * 64 + "\n", False),
    ],
)
def test_only_a_digest_identifies_an_image(reference: str, by_digest: bool) -> None:
    assert bool(IMAGE_REFERENCE.match(reference)) is by_digest


@pytest.mark.parametrize(
    ("reference", "named"),
    [
        ("registry.example/team/x:1.0", ("registry.example", "registry.example/team/x", "1.0")),
        ("localhost:5000/x:latest", ("localhost:5000", "localhost:5000/x", "latest")),
        ("builder:5000/x:latest", ("builder:5000", "builder:5000/x", "latest")),
        ("x:latest", None),
        ("team/x:latest", None),
        ("registry.example/team/x", None),
        ("registry.example/team/../x:1", None),
        ("registry.example/x:1@sha256:" + "b" * 64, None),
        ("--flag.example/x:1\n", None),
    ],
)
def test_a_tag_counts_only_with_the_registry_that_holds_it(reference: str, named: tuple[str, ...] | None) -> None:
    found = IMAGE_TAG.match(reference)
    assert (found and found.group("host", "name", "tag")) == named


def test_an_archive_is_named_by_the_hash_of_its_file() -> None:
    found = ARCHIVE_REFERENCE.match("archive@sha256:" + "c" * 64)
    assert found is not None
    assert found["sha256"] == "c" * 64
    assert ARCHIVE_REFERENCE.match("registry.example/archive@sha256:" + "c" * 64) is None
