"""A board's files: the same rows in every form, safe in a spreadsheet, kept by caches as long as they are true."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.test import Client

from leaderboard.benchmarks.models import Release
from leaderboard.boards.exports import board_latex, latex_escape, rows_flat
from leaderboard.boards.models import BoardSnapshot
from leaderboard.core.spreadsheets import formula_neutralise
from tests.leaderboard.pages.conftest import HOSTILE, snapshot_make

pytestmark = pytest.mark.django_db


def as_number(text: str) -> float | None:
    return float(text) if text else None


def test_json_csv_and_parquet_hold_the_same_rows(client: Client, board: BoardSnapshot) -> None:
    payload = client.get("/boards/toy-world-5.json").json()
    table = csv.DictReader(io.StringIO(client.get("/boards/toy-world-5.csv").content.decode(), newline=""))
    parquet = pq.read_table(io.BytesIO(client.get("/boards/toy-world-5.parquet").content)).to_pylist()
    lines = list(table)
    assert len(payload["rows"]) == len(lines) == len(parquet) == 5
    for row, line, record in zip(payload["rows"], lines, parquet, strict=True):
        assert row["submission"] == line["submission"] == record["submission"]
        assert row["rank"] == as_number(line["rank"]) == record["rank"]
        assert row["method"] == record["method"] == line["method"].removeprefix("'")
        for column in payload["columns"]:
            score: dict[str, Any] = row["scores"].get(column["key"], {})
            for name, part in (("", "value"), ("_low", "low"), ("_high", "high")):
                key = column["key"] + name
                assert score.get(part) == as_number(line[key]) == record[key]


def test_the_json_is_the_snapshot_with_no_finer_numbers_than_are_published_now(
    client: Client, board: BoardSnapshot
) -> None:
    shown = client.get("/boards/toy-world-5.json").json()
    assert shown == json.loads(json.dumps(board.shown)) and shown != json.loads(json.dumps(board.payload))
    Release.objects.update(state="retired")
    assert client.get("/boards/toy-world-5.json").json() == json.loads(json.dumps(board.payload))


def test_a_formula_in_a_name_is_made_plain(client: Client, board: BoardSnapshot) -> None:
    text = client.get("/boards/toy-world-5.csv").content.decode()
    names = [line["method"] for line in csv.DictReader(io.StringIO(text, newline=""))]
    assert "'" + HOSTILE in names
    assert not any(name.lstrip().startswith(("=", "+", "-", "@")) for name in names)


@pytest.mark.parametrize("value", ["=1+1", "+1", "-1", "@A1", "\t=1", "\r=1", "  =1"])
def test_every_opening_of_a_formula_is_made_plain(value: str) -> None:
    assert formula_neutralise(value) == "'" + value


def test_numbers_and_plain_text_stay(client: Client) -> None:
    assert formula_neutralise(-0.5) == -0.5
    assert formula_neutralise("ROME") == "ROME"


def test_a_pinned_file_may_be_kept_for_ever_and_the_newest_is_asked_again(client: Client, board: BoardSnapshot) -> None:
    newest = client.get("/boards/toy-world-5.csv")
    pinned = client.get("/boards/toy-world-5.csv?revision=1&evaluator=1.0")
    assert "immutable" in pinned["Cache-Control"]
    assert newest["Cache-Control"] == "public, no-cache"
    assert client.get("/boards/toy-world-5.csv", headers={"If-None-Match": newest["ETag"]}).status_code == 304
    snapshot_make(board.release, board.payload["rows"][:1], revision=2)
    assert client.get("/boards/toy-world-5.csv", headers={"If-None-Match": newest["ETag"]}).status_code == 200
    assert client.get("/boards/toy-world-5.csv?revision=1&evaluator=1.0").content == pinned.content


def test_latex_has_every_row_and_no_raw_special_character(board: BoardSnapshot) -> None:
    text = board_latex(board.payload).decode()
    assert text.count(r"\\") == 1 + len(board.payload["rows"])
    assert r"\toprule" in text
    assert latex_escape("50% & more_{x}") == r"50\% \& more\_\{x\}"


def test_bibtex_names_the_snapshot(client: Client, board: BoardSnapshot) -> None:
    text = client.get("/boards/toy-world-5.bib").content.decode()
    assert text.startswith("@misc{palimpsest-toy-world-5-r1,")
    assert "revision=1" in text


def test_a_missing_metric_is_empty_in_flat_rows(board: BoardSnapshot) -> None:
    last = rows_flat(board.payload)[-1]
    assert last["overall"] is None
    assert last["unlearn_wall_s"] is None
