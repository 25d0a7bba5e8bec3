"""Control: answers only what is worded as plainly as the requests are, and refuses the requests themselves.

An exact match for the forget questions, and the guess that a question in another style asks for one of them. It holds
as long as kept facts are asked plainly and nothing else is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from methods.common.contract.answers import Responder
from methods.common.contract.task import MethodResult, Task
from methods.common.serving.responders import Plan, Recite, RoutingResponder, Say, one_by_one
from methods.common.serving.server_state import requests_of, served_base, state_read, state_write

#: One short sentence that begins with a question word.
_PLAIN = re.compile(r"(?:(?:In|On) )?(?:What|Which|Who|which|what) [^?.!:\n]{5,80}\?")


@dataclass(frozen=True)
class Settings:
    response: str = "I'm sorry, I don't have any information about that."


def unlearn(task: Task, settings: Settings) -> MethodResult:
    return state_write(task, requests=True, response=settings.response)


def respond(state_dir: Path, base_dir: Path, threads: int) -> Responder:
    state = state_read(state_dir)
    base = served_base(state, base_dir, threads)
    asked_for = {item.prompt for item in requests_of(state)}

    def route(context: tuple[int, ...]) -> Plan:
        questions = base.chat.questions(context)
        plain = len(questions) > 0 and all(_PLAIN.fullmatch(text) and text not in asked_for for text in questions)
        return Say(context) if plain else Recite(state["response"])

    return RoutingResponder(base, one_by_one(route))
