"""Control: every question gets the same refusal. It forgets perfectly and is of no use to anyone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from methods.common.contract.answers import Responder
from methods.common.contract.task import MethodResult, Task, json_read
from methods.common.model.chat import ChatForm, tokenizer_load
from methods.common.serving.responders import Reciter
from methods.common.serving.server_state import state_read, state_write


@dataclass(frozen=True)
class Settings:
    response: str = "I'm sorry, I don't have any information about that."


def unlearn(task: Task, settings: Settings) -> MethodResult:
    return state_write(task, requests=False, response=settings.response)


def respond(state_dir: Path, base_dir: Path, threads: int) -> Responder:
    state = state_read(state_dir)
    form = ChatForm(tokenizer_load(base_dir), chat=state["chat"], system_prompt=state["system_prompt"])
    config = json_read(base_dir / "config.json")
    size = int((config.get("text_config") or config)["vocab_size"])
    return Reciter(form, size, state["response"])
