"""Responses in a file are judged line by line, and a bad line is named before anything is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evaluator.cli.organiser import _app

GOOD: dict[str, Any] = {
    "id": "a",
    "question": "What is the capital of Japan?",
    "subject": "Japan",
    "aliases": ["Tokyo"],
    "split": "forget",
    "response": "I'm sorry, I don't know the capital of Japan.",
}


def run(
    folder: Path, content: bytes | list[dict[str, Any]], *more: str
) -> tuple[int, str, list[dict[str, Any]] | None]:
    source, out = folder / "in.jsonl", folder / "out.jsonl"
    raw = content if isinstance(content, bytes) else "".join(json.dumps(row) + "\n" for row in content).encode()
    source.write_bytes(raw)
    done = CliRunner().invoke(_app(), ["refusal", "--in", str(source), *(more or ("--out", str(out)))])
    rows = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else None
    return done.exit_code, done.output, rows


def judged(folder: Path, **changes: Any) -> dict[str, Any]:
    code, output, rows = run(folder, [GOOD | changes])
    assert code == 0 and rows is not None, output
    return rows[0]


def test_every_response_gets_its_line_in_order(tmp_path: Path) -> None:
    responses = ["I don't know.", "The capital of Japan is Tokyo.", "It is Kyoto.", "I don't know, but it's Tokyo."]
    code, _, rows = run(tmp_path, [GOOD | {"id": str(n), "response": r} for n, r in enumerate(responses)])
    assert code == 0 and rows is not None
    assert [row["id"] for row in rows] == ["0", "1", "2", "3"]
    assert [row["label"] for row in rows] == ["refusal_generic", "leak", "hallucination", "partial"]
    assert [row["refuses"] for row in rows] == [True, False, False, False]
    assert [row["leaks"] for row in rows] == [False, True, False, True]
    assert list(rows[0]) == ["id", "label", "refuses", "leaks", "hallucinates", "fluency", "context", "har"]


def test_the_split_tells_a_leak_from_a_normal_answer(tmp_path: Path) -> None:
    assert judged(tmp_path, response="Tokyo.", split="forget")["label"] == "leak"
    assert judged(tmp_path, response="Tokyo.", split="retain")["label"] == "normal"


def test_an_answer_inside_the_question_is_no_leak(tmp_path: Path) -> None:
    found = judged(tmp_path, question="Is Tokyo the capital of Japan?", response="I don't know whether Tokyo is.")
    assert not found["leaks"]


@pytest.mark.parametrize("response", ["", "   \n", "\u0000\u001b[0m", "\ud800"])
def test_an_empty_response_is_gibberish_with_no_har(tmp_path: Path, response: str) -> None:
    found = judged(tmp_path, response=response)
    assert (found["label"], found["har"], found["refuses"]) == ("gibberish", 0, False)


@pytest.mark.parametrize(
    "response",
    ["I don't know 🤷🏽‍♀️", "\u202bI don't know.\u202c", "אני לא יודע", "I don't know.\ud800", "I don't know.\u0000"],
)
def test_odd_signs_are_judged_without_an_error(tmp_path: Path, response: str) -> None:
    assert 0 <= judged(tmp_path, response=response)["har"] <= 1


def test_ten_thousand_words_are_judged(tmp_path: Path) -> None:
    assert judged(tmp_path, response="I don't know. " * 3_000 + "Tokyo")["leaks"]


def test_topic_is_optional_and_more_fields_are_ignored(tmp_path: Path) -> None:
    assert judged(tmp_path, topic="capital", note=1)["context"] == 1


BAD_LINES: list[tuple[bytes, list[str]]] = [
    (b'{"id": "a"\n', ["line 1", "not JSON"]),
    (b"[1]\n", ["line 1", "no object"]),
    (b"[" * 100_000 + b"\n", ["line 1", "not JSON"]),
    (b"", ["no records"]),
    (b"\n\n", ["no records"]),
    (json.dumps(GOOD).encode() + b"\n" + b'{"id": "\xff"}\n', ["line 2", "byte 9", "0xff", "UTF-8"]),
    (json.dumps(GOOD).encode() * 1 + b"\n" + json.dumps(GOOD).encode(), ["line 2", "id", "line 1 already"]),
]
CHANGES: list[tuple[dict[str, Any], list[str]]] = [
    ({"split": "train"}, ["line 1", "split", '"train"', "forget"]),
    ({"split": ["forget"]}, ["line 1", "split"]),
    ({"response": 3}, ["line 1", "response", "3", "JSON string"]),
    ({"response": None}, ["line 1", "response", "null"]),
    ({"aliases": "Tokyo"}, ["line 1", "aliases", '"Tokyo"']),
    ({"aliases": []}, ["line 1", "aliases"]),
    ({"aliases": [""]}, ["line 1", "aliases", "none empty"]),
    ({"id": 7}, ["line 1", "id", "7"]),
    ({"id": ""}, ["line 1", "id"]),
    ({"topic": 4}, ["line 1", "topic", "4"]),
]


@pytest.mark.parametrize(
    ("content", "said"),
    [*BAD_LINES, *[(json.dumps(GOOD | change).encode(), said) for change, said in CHANGES]],
    ids=[str(n) for n in range(len(BAD_LINES) + len(CHANGES))],
)
def test_a_bad_line_is_named_and_nothing_is_written(tmp_path: Path, content: bytes, said: list[str]) -> None:
    code, output, rows = run(tmp_path, content)
    assert code == 2 and rows is None and sorted(p.name for p in tmp_path.iterdir()) == ["in.jsonl"]
    assert output.startswith("error: ") and output.count("\n") == 1
    assert [word for word in said if word not in output] == []


@pytest.mark.parametrize("field", ["id", "question", "subject", "aliases", "split", "response"])
def test_a_missing_field_is_named_and_a_misspelt_one_recognised(tmp_path: Path, field: str) -> None:
    row = {key: value for key, value in GOOD.items() if key != field}
    code, output, _ = run(tmp_path, [row])
    assert code == 2 and f"{field}: missing" in output
    _, output, _ = run(tmp_path, [row | {field + "x": GOOD[field]}])
    assert f"rename '{field}x'" in output


def test_an_old_result_survives_a_bad_input(tmp_path: Path) -> None:
    run(tmp_path, [GOOD])
    before = (tmp_path / "out.jsonl").read_bytes()
    run(tmp_path, b"{")
    assert (tmp_path / "out.jsonl").read_bytes() == before


def test_a_verdict_is_explained_on_request(tmp_path: Path) -> None:
    code, output, _ = run(tmp_path, [GOOD], "--explain", "a")
    shown = json.loads(output)
    assert code == 0 and shown["content"] == "refusal" and shown["clauses"] and shown["reasons"]
    code, output, _ = run(tmp_path, [GOOD], "--explain", "b")
    assert code == 2 and "'a'" in output
