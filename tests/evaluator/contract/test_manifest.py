"""A manifest's faults are named all at once, each with field, value and remedy."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path

import pytest

from evaluator.contract import (
    ARCHIVE_REFERENCE,
    IMAGE_REFERENCE,
    IMAGE_TAG,
    ManifestError,
    manifest_load,
    manifest_parse,
    table_read,
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


TOML = """contract = 1
name = "rome"
version = "1"
kind = "editing"
division = "weights"
authors = ["A"]
"""


@pytest.mark.parametrize(("value", "shown"), [("2026-01-01", "2026-01-01"), ("07:32:00", "07:32:00")])
def test_a_date_is_named_with_its_field_and_how_to_write_it(tmp_path: Path, value: str, shown: str) -> None:
    path = tmp_path / "method.toml"
    path.write_text(f"{TOML}[hparams.data]\ncut = {value}\n")
    with pytest.raises(ManifestError) as caught:
        manifest_load(path)
    (problem,) = caught.value.problems
    assert (problem["field"], problem["value"]) == ("hparams.data.cut", shown)
    assert "date" in problem["problem"]
    assert f'"{value}"' in problem["remedy"]


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"a": ["x", "\ud800"]}, "hparams.a.1"),
        ({"a": "\0"}, "hparams.a"),
        ({"b": {"\udc80": 1}}, "hparams.b.\\udc80"),
        ({"n": 1 << 20_000}, "hparams.n"),
    ],
)
def test_what_no_database_keeps_is_named_with_its_field(data: dict[str, object], field: str) -> None:
    with pytest.raises(ManifestError) as caught:
        manifest_parse(GOOD | {"hparams": data})
    assert [problem["field"] for problem in caught.value.problems] == [field]
    str(caught.value).encode()


@pytest.mark.parametrize(
    "text",
    [
        ".".join("a" * 20_000) + " = 1\n",
        "[" + ".".join("a" * 20_000) + "]\n",
        "x = " + "[" * 20_000 + "]" * 20_000 + "\n",
        "x = " + "{a=" * 10_000 + "1" + "}" * 10_000 + "\n",
        '{"x": ' + "[" * 20_000 + "]" * 20_000 + "}",
        'x = ["""a"""", {' + ".".join("a" * 20_000) + " = 1}]\n",
    ],
    ids=["dotted key", "dotted header", "lists", "tables", "json", "behind a quoted quote"],
)
def test_a_text_of_great_depth_is_refused_before_it_is_parsed(text: str) -> None:
    tracemalloc.start()
    with pytest.raises(ManifestError, match="32 deep"):
        table_read(text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6


def test_dots_and_brackets_in_strings_and_comments_are_no_depth() -> None:
    text = f'a = "{"[." * 100}"\nb = \'{"{." * 100}\'\n# {"[" * 100}\nc = """{"[." * 100}\n""x\\""""\nd = [1.5, 2.5]\n'
    assert table_read(text)["d"] == [1.5, 2.5]


def test_strings_that_never_end_cost_no_time_of_their_own() -> None:
    began = time.process_time()
    with pytest.raises(ManifestError, match="cannot be parsed"):
        table_read('"""\n' + '\\"""\n' * 15_000)
    assert time.process_time() - began < 2


def test_a_text_of_many_bytes_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "method.toml"
    path.write_text("#" * 200_000)
    with pytest.raises(ManifestError, match="100000 bytes"):
        manifest_load(path)


def test_depth_that_comes_as_values_is_refused_too() -> None:
    deep: list[object] = []
    for _ in range(5_000):
        deep = [deep]
    for data in (deep, GOOD | {"hparams": {"deep": deep}}, GOOD | {"name": deep}):
        with pytest.raises(ManifestError, match="deep"):
            manifest_parse(data)


@pytest.mark.parametrize("name", ["method.toml", "method.json"])
def test_one_byte_order_mark_is_dropped(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    text = json.dumps(GOOD) if path.suffix == ".json" else TOML
    path.write_text("\ufeff" + text, encoding="utf-8")
    assert manifest_load(path).name == "rome"
    assert table_read("\ufeff" + text)["name"] == "rome"
    path.write_text("\ufeff\ufeff" + text, encoding="utf-8")
    with pytest.raises(ManifestError, match="cannot be parsed"):
        manifest_load(path)
