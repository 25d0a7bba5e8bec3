"""The container contract as a method sees it: its environment, its input files, its one result."""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_type_hints

from methods.common.contract.errors import MethodError

CONTRACT_VERSION = 1

ArtifactKind = Literal["weights", "adapter", "server"]
Settings = TypeVar("Settings")
Triple = tuple[str, str, str]


@dataclass(frozen=True)
class Job:
    """`job.json`: the budget and the form of the questions. Times in seconds, sizes in MiB."""

    seed: int
    threads: int
    base_sha256: str
    contract: int = CONTRACT_VERSION
    device: str = "cpu"
    wall_s: int = 1200
    ram_mb: int = 8192
    out_mb: int = 1200
    max_len: int = 512
    chat: bool = True
    system_prompt: str | None = None
    step: int = 0
    n_steps: int = 1
    args: tuple[str, ...] = ()
    hparams: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """One line of `forget.jsonl`. `subject`, when given, is a substring of `prompt`."""

    id: str
    prompt: str
    answer: str
    kind: str = "qa"
    aliases: tuple[str, ...] = ()
    subject: str | None = None
    relation: str | None = None
    text: str | None = None


@dataclass(frozen=True)
class Example:
    """One line of `retain.jsonl`: a fact to be kept."""

    id: str
    prompt: str
    answer: str


@dataclass(frozen=True)
class Alignment:
    """One line of `align.jsonl`: an edit, two questions that it is about, and one that it is not about."""

    fact: str
    question: str
    answer_with: str
    answer_without: str
    paraphrase: str
    unrelated: str


@dataclass(frozen=True)
class MethodResult:
    """What a method made: the kind of its artifact, and whether that holds text of the requests.

    `notes` are rates that the method measured on its way; they stand beside the settings in the result.
    """

    kind: ArtifactKind
    stores_forget_text: bool
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """Everything that `unlearn` is given. Optional inputs are read when asked for, and only then."""

    input_dir: Path
    output_dir: Path
    job: Job
    forget: tuple[Request, ...]

    @property
    def base_dir(self) -> Path:
        return self.input_dir / "base"

    @property
    def previous_dir(self) -> Path | None:
        """The previous step's output on a sequential track, or None."""
        path = self.input_dir / "prev"
        return path if path.is_dir() else None

    @property
    def state_dir(self) -> Path:
        """The folder of a server's state, made on first use."""
        path = self.output_dir / "state"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def retain(self) -> tuple[Example, ...]:
        """The facts to be kept, at least one. Raises `MethodError` when the manifest did not declare them."""
        rows = _some_lines(self.input_dir / "retain.jsonl", "retain", "fact", "{id, prompt, answer}")
        return tuple(_record(Example, row, where) for row, where in rows)

    def align(self) -> tuple[Alignment, ...]:
        """Example edits of other facts. Raises `MethodError` when the manifest did not declare them."""
        needed = tuple(item.name for item in dataclasses.fields(Alignment))
        rows = _some_lines(self.input_dir / "align.jsonl", "align", "example", "{fact, question, …}")
        return tuple(_record(Alignment, row, where, needed) for row, where in rows)

    def neutral(self) -> tuple[str, ...]:
        """Neutral texts. Raises `MethodError` when the manifest did not declare them."""
        rows = _lines(self.input_dir / "neutral.jsonl", "neutral")
        for row, where in rows:
            if not isinstance(row.get("text"), str):
                raise MethodError(f"{where}.text", row.get("text"), "is not a string", "give a line {text}")
        return tuple(row["text"] for row, _ in rows)

    def triples(self) -> dict[str, tuple[Triple, ...]]:
        """Subject, relation and object of what is known around a request, by its id; only if declared."""
        found: dict[str, tuple[Triple, ...]] = {}
        for row, where in _lines(self.input_dir / "triples.jsonl", "triples"):
            if not isinstance(row.get("id"), str):
                raise MethodError(f"{where}.id", row.get("id"), "is not a string", "give the id of a request")
            rows = row.get("triples")
            if not isinstance(rows, list) or not all(_is_triple(item) for item in rows):
                raise MethodError(
                    f"{where}.triples", rows, "is no list of triples", "give [[subject, relation, object]]"
                )
            found[row["id"]] = tuple((item[0], item[1], item[2]) for item in rows)
        return found


def progress(fraction: float, stage: str) -> None:
    """Tell the platform how far the work is: one JSON line on stdout, `fraction` in [0, 1]."""
    line = json.dumps({"progress": round(min(max(fraction, 0.0), 1.0), 4), "stage": stage})
    print(line, flush=True)


def task_read(environment: Mapping[str, str], *, requests: bool = True) -> Task:
    """The task under `$PALIMPSEST_IN`, checked; without `requests` it has none.

    Raises `MethodError` with the first fault found.
    """
    input_dir = directory_from(environment, "PALIMPSEST_IN")
    output_dir = directory_from(environment, "PALIMPSEST_OUT")
    if not (input_dir / "base" / "config.json").is_file():
        raise MethodError("PALIMPSEST_IN", str(input_dir), "has no base/config.json", "mount a model directory there")
    job = _job_read(input_dir / "job.json")
    file = input_dir / "forget.jsonl"
    lines = _some_lines(file, "forget", "request", "{id, prompt, answer}") if requests else []
    forget = tuple(_request(row, where) for row, where in lines)
    return Task(input_dir=input_dir, output_dir=output_dir, job=job, forget=forget)


def directory_from(environment: Mapping[str, str], name: str) -> Path:
    """The existing directory that the variable `name` points at."""
    value = environment.get(name, "")
    if not value or not Path(value).is_dir():
        raise MethodError(name, value, "is not a directory", f"set {name} to an existing directory")
    return Path(value)


def settings_from(cls: type[Settings], hparams: Mapping[str, Any]) -> Settings:
    """A method's `Settings` from the manifest's `[hparams]`; every fault names the key and a remedy."""
    types = get_type_hints(cls)
    names = [item.name for item in dataclasses.fields(cls)]  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in hparams.items():
        if key not in names:
            close = difflib.get_close_matches(key, names, n=1, cutoff=0.0)
            remedy = f"did you mean `{close[0]}`?" if close else "this method has no settings"
            raise MethodError(f"hparams.{key}", value, "is not a setting of this method", remedy)
        values[key] = _as_type(f"hparams.{key}", value, types[key])
    return cls(**values)


def result_write(task: Task, made: MethodResult, method: str) -> None:
    """Write `result.json`, last and in one step, so that a half-made output is never taken for whole."""
    result = {
        "contract": CONTRACT_VERSION,
        "kind": made.kind,
        "base_sha256": task.job.base_sha256,
        "method": method,
        "hparams": {**task.job.hparams, **made.notes},
        "stores_forget_text": made.stores_forget_text,
    }
    json_write(task.output_dir / "result.json", result)


def json_write(path: Path, data: object) -> None:
    """Write `data` as JSON under `path` through a temporary name."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(data, ensure_ascii=False, sort_keys=True, indent=1), encoding="utf-8")
    os.replace(temporary, path)


def json_read(path: Path) -> Any:
    """The JSON value of a file. Raises `MethodError` when it is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MethodError(path.name, str(path), "is missing", "mount the file as the contract says") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise MethodError(path.name, str(path), f"is not JSON: {error}", "write valid UTF-8 JSON") from None


def _as_type(name: str, value: Any, wanted: Any) -> Any:
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if wanted is bool or not isinstance(value, bool):
        if wanted in (int, float, str, bool) and isinstance(value, wanted):
            return value
        if wanted == tuple[str, ...] and isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
    shown = wanted.__name__ if isinstance(wanted, type) else str(wanted)
    raise MethodError(name, value, f"is not of type {shown}", "change it under [hparams] of the manifest")


def _job_read(path: Path) -> Job:
    data = json_read(path)
    if not isinstance(data, dict):
        raise MethodError("job.json", data, "is not an object", "write the fields of the contract")
    if data.get("contract") != CONTRACT_VERSION:
        raise MethodError("job.json.contract", data.get("contract"), "is not known", f"use contract {CONTRACT_VERSION}")
    known = {item.name for item in dataclasses.fields(Job)}
    for key in ("seed", "threads", "base_sha256"):
        if key not in data:
            raise MethodError(f"job.json.{key}", None, "is missing", f"add `{key}` to job.json")
    fields: dict[str, Any] = {
        key: tuple(value) if key == "args" else value for key, value in data.items() if key in known
    }
    if not isinstance(fields["threads"], int) or fields["threads"] < 1:
        raise MethodError("job.json.threads", fields["threads"], "is not a whole number above 0", "give at least 1")
    return Job(**fields)


def _some_lines(path: Path, name: str, what: str, form: str) -> list[tuple[dict[str, Any], str]]:
    """As `_lines`, of a file that has to hold at least one `what` of this `form`."""
    rows = _lines(path, name)
    if not rows:
        raise MethodError(path.name, "", f"holds no {what}", f"give at least one line {form}")
    return rows


def _lines(path: Path, name: str) -> list[tuple[dict[str, Any], str]]:
    if not path.is_file():
        remedy = "mount it" if name == "forget" else f'declare needs = ["{name}"] under [run] of the manifest'
        raise MethodError(path.name, str(path), "is missing", remedy)
    rows: list[tuple[dict[str, Any], str]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{path.name}:{number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise MethodError(where, line, f"is not JSON: {error}", "write one JSON object a line") from None
        if not isinstance(row, dict):
            raise MethodError(where, row, "is not an object", "write one JSON object a line")
        rows.append((row, where))
    return rows


def _is_triple(item: object) -> bool:
    return isinstance(item, list) and len(item) == 3 and all(isinstance(name, str) and name for name in item)


def _record(
    cls: type[Settings], row: dict[str, Any], where: str, needed: Sequence[str] = ("id", "prompt", "answer")
) -> Settings:
    names = {item.name: item for item in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in needed:
        if not isinstance(row.get(key), str):
            raise MethodError(f"{where}.{key}", row.get(key), "is not a string", f"give `{key}` as a string")
    return cls(**{key: value for key, value in row.items() if key in names})


def _request(row: dict[str, Any], where: str) -> Request:
    request = _record(Request, {**row, "aliases": tuple(row.get("aliases") or ())}, where)
    if not request.prompt.strip():
        raise MethodError(f"{where}.prompt", request.prompt, "is empty", "give the question")
    if request.subject is not None and (not request.subject or request.subject not in request.prompt):
        raise MethodError(
            f"{where}.subject",
            request.subject,
            "is not a substring of the prompt",
            "copy it from the prompt or leave it out",
        )
    return request
