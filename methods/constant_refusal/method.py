"""Control: the forget questions get exactly "I don't know.", everything else is left to the base model.

The best that a look-up table can do, and a bare refusal that names nothing: a good method should
refuse as surely and more humanly.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from methods.common.contract.answers import Responder
from methods.common.contract.task import MethodResult, Task
from methods.common.serving.matching import request_named
from methods.common.serving.responders import Plan, Recite, RoutingResponder, Say, one_by_one
from methods.common.serving.server_state import requests_of, served_base, state_read, state_write


@dataclass(frozen=True)
class Settings:
    response: str = "I don't know."


def unlearn(task: Task, settings: Settings) -> MethodResult:
    return state_write(task, requests=True, response=settings.response)


def respond(state_dir: Path, base_dir: Path, threads: int) -> Responder:
    state = state_read(state_dir)
    base = served_base(state, base_dir, threads)
    requests = requests_of(state)

    def route(context: tuple[int, ...]) -> Plan:
        asked = any(request_named(question, requests) for question in base.chat.questions(context))
        return Recite(state["response"]) if asked else Say(context)

    return RoutingResponder(base, one_by_one(route))
