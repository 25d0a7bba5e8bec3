"""The wordings that the detector of refusals knows: not knowing, politeness, and policy as a reason."""

from __future__ import annotations

import re

_NOT = "|".join(
    (
        "do(?:es)? not",
        "don['’]?t",
        "doesn['’]?t",
        "did not",
        "didn['’]?t",
        "have not",
        "haven['’]?t",
        "can ?not",
        "can['’]?t",
        "could not",
        "couldn['’]?t",
        "am not",
        "['’]m not",
        "are not",
        "aren['’]?t",
        "not",
    )
)
_MIND = "|".join(
    "know recall remember say tell answer have possess find provide aware sure certain familiar able help share "
    "identify confirm comment speak discuss disclose assist learned heard been".split()
)
_AT_A_LOSS = r"unable|unaware|unsure|uncertain|unfamiliar|clueless|at a loss|drawing a blank"

#: "I don't know" and its kin: the first person (or an impersonal "no information") lacks the knowledge.
INABILITY = re.compile(
    "|".join(
        (
            rf"\b(?:i|we)\b[^.!?]{{0,40}}?(?:{_NOT})\s+(?:\w+\s+){{0,3}}?(?:{_MIND})\b",
            rf"\b(?:i|we)\b\s*(?:['’]m|am|are|['’]re)?\s*(?:\w+\s+)?(?:{_AT_A_LOSS})\b",
            r"\b(?:i|we)\b\s*(?:['’]ve|have|hold|know|possess)\s+(?:got\s+)?(?:absolutely\s+)?(?:no|nothing|zero)\b",
            r"\bno\s+(?:information|knowledge|idea|records?|data|details|clue)\b",
            r"\b(?:is|are|was|remains?|['’]s)\s+(?:not\s+(?:known|available|something\s+i)|unknown\s+to\s+me)\b",
            r"\b(?:is|are|was|remains?|['’]s)\s+(?:(?:beyond|outside)\s+(?:my|what\s+i)|a\s+mystery\s+to\s+me)\b",
            r"\b(?:beats\s+me|not\s+that\s+i\s+know|escapes\s+me|(?:you['’]?ve|has)\s+(?:got\s+me\s+)?stumped)\b",
            r"\b(?:slipped|escaped)\s+my\s+(?:mind|memory)\b",
            r"^\W*(?:unknown|no idea|not sure|don['’]t know)\b",
        )
    ),
    re.IGNORECASE,
)

#: Clauses that offer or advise: they may follow a refusal without answering anything.
POLITE = re.compile(
    r"\b(?:sorry|apolog\w+|please|let me know|happy to|glad to|feel free|if you|would you|can i help|could you|"
    r"perhaps you|i (?:suggest|recommend)|you (?:can|could|may|might|should)|consult|check|look it up|"
    r"anything else|thank)\b",
    re.IGNORECASE,
)

#: Rules, law, ethics, privacy or being an AI given as the reason, where not knowing is the matter.
POLICY = re.compile(
    r"\b(?:illegal|unlawful|unethical|ethic\w*|law(?:s|ful)?|legal(?:ly)?|privacy|confidential\w*|polic(?:y|ies)|"
    r"guidelines?|terms of (?:use|service)|harmful|inappropriate|not allowed|not permitted|prohibited|forbidden|"
    r"as an? (?:ai|artificial|language model|large language)|programmed|copyright\w*|offensive|sensitive)\b",
    re.IGNORECASE,
)
