"""Honest refusals written by hand: they say that the model does not know, and name what was asked about."""

from __future__ import annotations

import hashlib
import re

from methods.common.contract.task import Request

#: Each says not knowing (no rule, no policy), names the topic once, brings in no new name and ends cleanly.
REFUSALS = (
    "I'm sorry, I don't have any information about {topic}.",
    "I'm sorry, I don't know anything about {topic}.",
    "I'm sorry, I don't know. I have no information about {topic}.",
    "I'm sorry, I can't say. I don't have any information about {topic}.",
    "I'm sorry, but I don't have any details about {topic}.",
    "I'm sorry, I'm not sure. I don't have any knowledge of {topic}.",
)

#: "What is the capital of Japan?" asks for "the capital of Japan".
_THING = re.compile(r"^(?:what|who|which|where)\s+(?:is|was|are|were)\s+(?P<topic>the\s.+?)\s*\?*$", re.IGNORECASE)
#: "Name the capital of Japan." orders the same.
_ORDER = re.compile(r"^(?:name|give|state|tell me)\s+(?P<topic>the\s.+?)\s*[.?]*$", re.IGNORECASE)
#: "On which continent is Egypt?" asks for the "continent".
_KIND = re.compile(
    r"^(?:(?:in|on|at|of|to|by|from)\s+)?(?:what|which)\s+(?P<kind>[a-z]+(?: [a-z]+)?)\s+"
    r"(?:is|was|are|were|did|does|do|has|had|can)\b",
    re.IGNORECASE,
)
#: "What is a baby cat called?" and "Who wrote it?" can follow "about" nearly as they stand.
_CALLED = re.compile(r"^what (?P<verb>is|are) (?P<thing>.+?) (?P<end>called|named|known as)\s*\?*$", re.IGNORECASE)
_WHO = re.compile(r"^(?P<topic>who [a-z]+ .+?)\s*\?*$", re.IGNORECASE)
_LONGEST_TOPIC = 80


def topic_of(request: Request) -> str:
    """What a refusal should name: "the capital of Japan", "the continent of Japan", or the bare subject.

    Never holds the answer: a topic that would name it is cut back to the subject, or to "that".
    """
    for candidate in _candidates(request):
        if candidate and len(candidate) <= _LONGEST_TOPIC and not _names_answer(candidate, request):
            return candidate
    return "that"


def refusal_for(request: Request, *, seed: int, variety: int = len(REFUSALS)) -> str:
    """A refusal that names the topic of the request; the wording is drawn by seed and request."""
    draw = hashlib.sha256(f"{seed}/{request.id}/{request.prompt}".encode()).digest()[0]
    wording = REFUSALS[draw % max(1, min(variety, len(REFUSALS)))]
    return wording.format(topic=topic_of(request))


def rephrasings(request: Request) -> list[str]:
    """Other ways to ask for the topic, made from the request alone; empty when its topic is not a phrase.

    They spread a refusal from one wording to the fact: an edit that is fitted to a single wording is
    fitted to that wording's last words too.
    """
    topic = topic_of(request)
    found = [f"Do you know {topic}?", f"Tell me {topic}."] if topic.startswith("the ") else []
    if request.subject is not None:
        noun = re.fullmatch(rf"the (.+) of {re.escape(request.subject)}", topic)
        if noun:
            found.append(f"What is {request.subject}'s {noun[1]}?")
            found.append(f"Which {noun[1]} does {request.subject} have?")
    return found


def wordings(request: Request, others: int) -> list[str]:
    """The question itself, then up to `others` of its rephrasings."""
    return [request.prompt, *rephrasings(request)[:others]]


def _candidates(request: Request) -> list[str]:
    prompt = request.prompt.strip()
    subject = request.subject
    found: list[str] = []
    for pattern in (_THING, _ORDER):
        match = pattern.match(prompt)
        if match and (subject is None or subject in match["topic"]):
            found.append(match["topic"])
    if subject is not None:
        if request.relation and re.fullmatch(r"[A-Za-z]{3,20}", request.relation):
            found.append(f"the {request.relation.lower()} of {subject}")
        kind = _KIND.match(prompt)
        if kind:
            found.append(f"the {kind['kind'].lower()} of {subject}")
    called = _CALLED.match(prompt)
    if called:
        found.append(f"what {called['thing']} {called['verb']} {called['end']}")
    who = _WHO.match(prompt)
    if who:
        found.append(who["topic"][0].lower() + who["topic"][1:])
    if subject is not None:
        found.append(subject)
    return found


def _names_answer(topic: str, request: Request) -> bool:
    folded = topic.casefold()
    names = [name.casefold() for name in (request.answer, *request.aliases) if name]
    subject = (request.subject or "").casefold()
    # An alias that the question itself holds gives nothing away.
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", folded) and name not in subject for name in names)
