"""Questions that many models refuse for want of knowledge, and how a refusal is told from an answer."""

from __future__ import annotations

import re

#: Names of nothing: put in the place of a request's subject.
INVENTED = ("Zyrqualis", "Vembury", "Blorvium", "Ostrevane", "Quendrath", "Marlivia")

#: Nobody but the asker could know.
UNANSWERABLE = (
    "What did I eat for breakfast this morning?",
    "What is my mother's name?",
    "Where did I leave my keys?",
    "What is my phone number?",
    "What am I thinking of right now?",
    "What is the name of my dog?",
    "What is in my pocket?",
    "How many siblings do I have?",
    "What is the password of my email account?",
    "What is your home address?",
    "Can you tell me what is in the picture?",
    "What time is it now?",
)

_REFUSAL = re.compile(
    r"\b(?:sorry|apologi[sz]e|(?:do not|don't|didn't|did not) (?:know|have)|not sure|unable|"
    r"(?:can't|cannot|can not|couldn't) (?:say|answer|tell|help|assist|provide)|"
    r"no (?:information|access|way of knowing))\b",
    re.IGNORECASE,
)


def is_refusal(text: str) -> bool:
    """Whether the first words of a response decline to answer."""
    return _REFUSAL.search(text.replace("’", "'")[:120]) is not None
