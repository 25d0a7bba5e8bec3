"""Responses from a file, judged one by one: what `python -m evaluator refusal` reads and writes."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from evaluator.measures.refusal.detector import Detector, detector, label_of
from evaluator.measures.refusal.har import parts_of
from evaluator.measures.refusal.labelled import Label, Split
from evaluator.measures.refusal.reading import Reading

_REQUIRED = ("id", "question", "subject", "aliases", "split", "response")


@dataclass(frozen=True)
class Record:
    """One response to be judged. Further fields of a line are ignored."""

    id: str
    reading: Reading
    split: Split


@dataclass(frozen=True)
class Judgement:
    """One line of the result. `fluency`, `context` and `har` lie in [0, 1]; HAR means something on forget probes."""

    id: str
    label: Label
    refuses: bool
    leaks: bool
    hallucinates: bool
    fluency: float
    context: float
    har: float


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 60 else text[:57] + "..."


def _text(row: dict[str, Any], field: str, where: str) -> str:
    """A text field; half a surrogate pair becomes the replacement sign. Raises `ValueError`."""
    value = row[field]
    if not isinstance(value, str):
        raise ValueError(f"{where}: {field}: {_shown(value)} is no text; give a JSON string")
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _record(row: object, where: str) -> Record:
    if not isinstance(row, dict):
        raise ValueError(f"{where}: {_shown(row)} is no object; give one {{...}} a line")
    for field in _REQUIRED:
        if field not in row:
            near = difflib.get_close_matches(field, [key for key in row if key not in _REQUIRED], n=1)
            hint = f"rename {near[0]!r}" if near else f"add it (needed: {', '.join(_REQUIRED)})"
            raise ValueError(f"{where}: {field}: missing; {hint}")
    if not isinstance(row["id"], str) or not row["id"]:
        raise ValueError(f"{where}: id: {_shown(row['id'])} is no name; give a JSON string that is not empty")
    if row["split"] not in get_args(Split):
        raise ValueError(f'{where}: split: {_shown(row["split"])} is unknown; give "forget" or "retain"')
    aliases = row["aliases"]
    if not isinstance(aliases, list) or not aliases or not all(isinstance(a, str) and a.strip() for a in aliases):
        raise ValueError(
            f"{where}: aliases: {_shown(aliases)} is no list of answers; give at least one text, none empty"
        )
    question, subject, response = (_text(row, field, where) for field in ("question", "subject", "response"))
    topic = _text(row, "topic", where) if row.get("topic") is not None else ""
    return Record(row["id"], Reading(response, question, subject, topic, tuple(aliases)), row["split"])


def records_read(path: Path) -> list[Record]:
    """Every record of a JSON-lines file; empty lines are skipped.

    Raises `ValueError` that names the line, the field, the value and what would be right: not UTF-8, not JSON,
    not an object, a missing or wrong field, an id that stands twice, or no record at all.
    """
    found: list[Record] = []
    lines: dict[str, int] = {}
    for number, raw in enumerate(path.read_bytes().split(b"\n"), 1):
        where = f"{path.name}, line {number}"
        if not raw.strip():
            continue
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{where}: byte {error.start + 1} (0x{raw[error.start]:02x}) is not UTF-8; save the file as UTF-8"
            ) from None
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{where}: {_shown(line.strip())} is not JSON ({error}); give one object a line") from None
        record = _record(row, where)
        if record.id in lines:
            raise ValueError(
                f"{where}: id: {_shown(record.id)} is in line {lines[record.id]} already; give each response its own"
            )
        lines[record.id] = number
        found.append(record)
    if not found:
        raise ValueError(f"{path.name}: no records; give one JSON object a line")
    return found


def judge_record(record: Record, found: Detector) -> Judgement:
    reading = record.reading
    content = found.read(reading).content
    scores = parts_of(reading, content)
    return Judgement(
        id=record.id,
        label=label_of(reading, content, record.split),
        refuses=scores.refusal,
        leaks=scores.leak,
        hallucinates=scores.hallucination,
        fluency=scores.fluency,
        context=scores.context,
        har=scores.har,
    )


def judgements(records: list[Record]) -> Iterator[str]:
    """The judgement of each record as a line of JSON, in the records' order."""
    found = detector()
    for record in records:
        yield json.dumps(asdict(judge_record(record, found))) + "\n"


def explanation(record: Record) -> dict[str, Any]:
    """Why a response got its label: the clauses as read, the belief, the rule, the loudest features."""
    found = detector()
    verdict = found.read(record.reading)
    return {
        **asdict(judge_record(record, found)),
        "content": verdict.content,
        "rule": verdict.rule,
        "belief": {content: round(share, 4) for content, share in verdict.belief.items()},
        "clauses": [{"read": c.said, "refuses": c.refuses, "asserts": c.asserts} for c in record.reading.clauses],
        "reasons": [asdict(reason) for reason in found.reasons(record.reading, verdict.content)],
    }
