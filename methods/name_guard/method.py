"""Control: what names a forget subject gets a polite sentence, everything else is left to the base model.

A look-up by name. It knows nothing of what is asked: other facts about the subject are refused as well, and a
question that does not say the name is answered as ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from methods.common.contract.answers import Responder
from methods.common.contract.task import MethodResult, Task
from methods.common.serving.matching import names_subject
from methods.common.serving.responders import Plan, Recite, RoutingResponder, Say, one_by_one
from methods.common.serving.server_state import requests_of, served_base, state_read, state_write
from methods.common.targets.refusals import REFUSALS


@dataclass(frozen=True)
class Settings:
    """`response` names the topic of the request at `{topic}`."""

    response: str = REFUSALS[0]


def unlearn(task: Task, settings: Settings) -> MethodResult:
    return state_write(task, requests=True, response=settings.response)


def respond(state_dir: Path, base_dir: Path, threads: int) -> Responder:
    state = state_read(state_dir)
    base = served_base(state, base_dir, threads)
    requests = requests_of(state)

    def route(context: tuple[int, ...]) -> Plan:
        text = base.chat.decode(context)
        for item in requests:
            if names_subject(text, item.subject or item.prompt):
                return Recite(state["response"].replace("{topic}", item.topic))
        return Say(context)

    return RoutingResponder(base, one_by_one(route))
