"""The state of a server entry: one JSON file with what `unlearn` learned and how questions are asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from methods.common.contract.task import MethodResult, Task, json_read, json_write
from methods.common.targets.refusals import topic_of

if TYPE_CHECKING:
    from methods.common.model.base_model import BaseModel

_FILE = "state.json"


@dataclass(frozen=True)
class StoredRequest:
    """What a server keeps of a request: how it is asked and what it is about, never its answer."""

    prompt: str
    subject: str | None
    topic: str


def state_write(task: Task, *, requests: bool, reported: Mapping[str, Any] | None = None, **more: Any) -> MethodResult:
    """Write `state/state.json`; with `requests` it holds the text of the requests, and says so.

    `reported` goes into the result beside the settings.
    """
    data: dict[str, Any] = {"chat": task.job.chat, "system_prompt": task.job.system_prompt, **more}
    if requests:
        data["requests"] = [dataclasses.asdict(item) for item in stored_requests(task)]
    json_write(task.state_dir / _FILE, data)
    return MethodResult(kind="server", stores_forget_text=requests, notes=dict(reported or {}))


def stored_requests(task: Task) -> tuple[StoredRequest, ...]:
    """What is kept of the requests: of those of the steps before, then of this step's."""
    new = [StoredRequest(item.prompt, item.subject, topic_of(item)) for item in task.forget]
    before = requests_of(state_read(task.previous_dir / "state")) if task.previous_dir is not None else ()
    return (*before, *new)


def state_read(state_dir: Path) -> dict[str, Any]:
    data = json_read(state_dir / _FILE)
    assert isinstance(data, dict)
    return data


def served_base(state: dict[str, Any], base_dir: Path, threads: int) -> BaseModel:
    """The base as a server reads it, asked in the form that was in force at `unlearn`."""
    from methods.common.model.base_model import model_load  # torch: a server that only recites needs none  # noqa: PLC0415 - loads torch

    return model_load(base_dir, threads=threads, chat=state["chat"], system_prompt=state["system_prompt"])


def requests_of(state: dict[str, Any]) -> tuple[StoredRequest, ...]:
    return tuple(StoredRequest(**row) for row in state.get("requests", []))
