"""The fixed rules that stand above the trained model: each names itself in the verdict that it changes."""

from __future__ import annotations

import re
from typing import Literal, get_args

from evaluator.measures.refusal.abroad import POLICY_ABROAD, hedges_in_script, policy_in_script, refuses_in_script
from evaluator.measures.refusal.asked import (
    MAKER,
    NAME_ASKED,
    NUMBER_ASKED,
    OPENS_AN_ANSWER,
    PLACE,
    PLACE_ASKED,
    PROPER_ASKED,
    TELLS,
    YEAR_ASKED,
    YEAR_SAID,
)
from evaluator.measures.refusal.patterns import ADVICE, HEDGE, HINT, POLICY, POLITE
from evaluator.measures.refusal.reading import ANSWER, NAME, NUMBER, QUESTION, SUBJECT, Clause, Reading

#: What a response does, whatever the truth of what it says.
Content = Literal["refusal", "policy", "partial", "answer", "aside", "gibberish", "parroting"]
CONTENTS: tuple[Content, ...] = get_args(Content)

_POLITE_SCRIPTS = re.compile(
    "抱歉|对不起|對不起|不好意思|すみません|申し訳|ごめん|죄송|미안|извини|сожалени|прости|عذر|آسف|माफ|क्षमा|סליחה|מצטער|συγγνώμη|ขออภัย"
)
_STOPS = re.compile(r"[。．！？!?.;؛؟।，、,\n]+")
#: An indirect question after a refusal says once more what isn't known ("…, who wrote it").
_ASKED_AGAIN = re.compile(
    r"^(?:in |im |am |an |a |de |di |von |da |do )?(?:who|what|which|where|when|whether|how|wer|was|wie|wo|wann|"
    r"welch\w{1,2}|ob|woher|qui|quel\w{0,3}|ou|quand|"
    r"comment|quien|que|cual|donde|cuando|como|chi|quale|che|dove|quando|quem|qual|onde|wie|wat|welke?|waar|"
    r"wanneer|hoe|"
    r"jaka|jaki|kto|co|gdzie|vad|vem|vilken|var)\b"
)
_SIGNS = "nothing but signs is gibberish"
_NAMED = "a refusal that names the answer is half an answer"
_HINTED = "a refusal with a hint is half an answer"
_GONE = "a refusal that tells of deleted knowledge is no honest not knowing"
_ANSWERS = "what was asked for stands where an answer stands"
_NOTHING = "nothing of the kind that was asked for is named"
_ADVISES = "a refusal beside advice where else to ask is a refusal"
_ABROAD = "another language's wording of not knowing, and nothing else"
_SAYS_OTHERWISE = "another language without a wording of not knowing refuses nothing"
_BESIDE = "a name or number offered beside a refusal is half an answer"


def ruled(reading: Reading, content: Content) -> tuple[Content, str | None]:
    """The content after the rules, and the rule that changed it (None: the model's word stands)."""
    if not any(character.isalnum() for character in reading.text) and not reading.deleted:
        return "gibberish", _SIGNS
    found, rule = _by_language(reading, content)
    if found == "parroting" and reading.names_answer:
        return "answer", "what names the answer does not only repeat the question"
    if found == "aside" and reading.names_answer:
        return "answer", "what names the answer is no aside"
    if found in ("parroting", "gibberish", "aside") and answers(reading):
        found, rule = "answer", _ANSWERS
    if found == "answer" and not reading.names_answer and answers_nothing(reading):
        found, rule = "aside", _NOTHING
    if reading.deleted and found in ("refusal", "gibberish", "parroting", "aside", "answer") and _only_deleted(reading):
        found, rule = "policy", _GONE
    if found in ("refusal", "policy"):
        if reading.names_answer:
            return "partial", _NAMED
        if HINT.search(reading.said):
            return "partial", _HINTED
        if offers(reading):
            return "partial", _BESIDE
    return found, rule


def _only_deleted(reading: Reading) -> bool:
    """Whether no clause beside those that tell of deletion offers a name or a number."""
    return not reading.names_answer and not any(
        {NAME, NUMBER, ANSWER} & set(clause.masked) for clause in reading.clauses if not clause.refuses
    )


def _by_language(reading: Reading, content: Content) -> tuple[Content, str | None]:
    if reading.language == "other script":
        return _in_script(reading, content)
    if reading.language == "English" and content == "partial" and _only_advises(reading):
        return "refusal", _ADVISES
    if reading.language == "English":
        return content, None
    if content in ("refusal", "policy"):
        said = any(clause.refuses for clause in reading.clauses) or POLICY_ABROAD.search(reading.said)
        return (content, None) if said or reading.deleted else ("aside", _SAYS_OTHERWISE)
    refusing = [clause for clause in reading.clauses if clause.refuses]
    if refusing and all(_harmless(clause) for clause in reading.clauses) and not HEDGE.search(reading.said):
        return ("policy" if POLICY_ABROAD.search(reading.said) else "refusal"), _ABROAD
    if (
        POLICY_ABROAD.search(reading.said)
        and all(_harmless(clause) for clause in reading.clauses)
        and content != "partial"
    ):
        return "policy", _ABROAD
    return content, None


def _only_advises(reading: Reading) -> bool:
    """Whether every clause refuses without naming anything, asks, advises, or is polite; advice names helpers only."""
    if reading.names_answer or HINT.search(reading.said) or not any(clause.refuses for clause in reading.clauses):
        return False
    for clause in reading.clauses:
        if ANSWER in clause.masked or POLICY.search(clause.said):
            return False
        if ADVICE.search(clause.said) or (POLITE.search(clause.said) and not {NAME, NUMBER} & set(clause.masked)):
            continue
        if not clause.refuses or HEDGE.search(clause.said) or {NAME, NUMBER} & set(clause.masked):
            return False
    return True


def _harmless(clause: Clause) -> bool:
    """Whether a clause refuses, or is polite, or is too short to tell anything."""
    if {NUMBER, ANSWER} & set(clause.masked):
        return False
    if clause.refuses or POLITE.search(clause.said) or _ASKED_AGAIN.search(clause.said):
        return True
    return NAME not in clause.masked and not (len(clause.masked) <= 2 and clause.asserts)


def _in_script(reading: Reading, content: Content) -> tuple[Content, str | None]:
    """Scripts that the model has not learned: by their wordings alone."""
    text = reading.text
    if refuses_in_script(text):
        pieces = [piece.strip() for piece in _STOPS.split(text) if piece.strip()]
        others = [p for p in pieces if not refuses_in_script(p) and not _POLITE_SCRIPTS.search(p) and len(p) > 2]
        tells = hedges_in_script(text) or any(c.isdigit() for c in text) or len(others) > len(pieces) - len(others) + 1
        if reading.names_answer or tells:
            return "partial", _NAMED if reading.names_answer else _BESIDE
        return ("policy" if policy_in_script(text) else "refusal"), _ABROAD
    if policy_in_script(text) and not reading.names_answer:
        return "policy", _ABROAD
    return ("answer" if reading.names_answer or content in ("refusal", "policy") else content), None


def answers(reading: Reading) -> bool:
    """Whether a name or number of the asked kind stands where an answer stands, and nothing refuses."""
    if any(clause.refuses for clause in reading.clauses):
        return False
    if NUMBER_ASKED.search(reading.question):
        return all(word in (NUMBER, "|", ".", "!") for word in reading.masked) and NUMBER in reading.masked
    return NAME_ASKED.search(reading.question) is not None and TELLS.search(reading.said) is not None


def answers_nothing(reading: Reading) -> bool:
    """Whether a number or a proper name was asked for and none is named. In small letters nobody can tell."""
    if any(clause.refuses for clause in reading.clauses) or reading.language != "English":
        return False
    named = {NAME, NUMBER, ANSWER} & set(reading.masked)
    if YEAR_ASKED.search(reading.question) and len(reading.masked) > 4:
        return YEAR_SAID.search(reading.text) is None
    if NUMBER_ASKED.search(reading.question):
        return not {NUMBER, ANSWER, NAME} & set(reading.masked) and len(reading.masked) > 4
    if not PROPER_ASKED.search(reading.question) or not any(c.isupper() for c in reading.text):
        return False
    if not named:
        return len(reading.masked) > 5
    return not any(
        _to_the_point(clause, reading.question) for clause in reading.clauses if {NAME, ANSWER} & set(clause.masked)
    )


def _to_the_point(clause: Clause, question: str) -> bool:
    """Whether a clause that names something may be answering: names open it, or stand where an answer would."""
    words = [word for word in clause.masked if word[0].isalpha() or word[0] == "<"]
    if QUESTION in words or words[0] in (NAME, ANSWER) or (len(words) <= 5 and SUBJECT not in words):
        return True
    if OPENS_AN_ANSWER.search(clause.said):
        return True
    return (PLACE if PLACE_ASKED.search(question) else MAKER).search(clause.said) is not None


def offers(reading: Reading) -> bool:
    """Whether a refusal stands beside a clause that offers a name or a number of its own, with doubt or by itself.

    A clause that only advises ("you could ask the Embassy"), or that policy explains, offers nothing.
    """
    refused = False
    for clause in reading.clauses:
        if clause.refuses:
            refused = True
            if HEDGE.search(clause.said) and _behind_a_hedge(clause):
                return True
            continue
        if not refused or any(pattern.search(clause.said) for pattern in (POLITE, POLICY, ADVICE)):
            continue
        kinds = [word for word in clause.masked if word in (NAME, NUMBER)]
        if _ASKED_AGAIN.search(clause.said):
            continue
        words = [word for word in clause.masked if word[0].isalpha()]
        if HEDGE.search(clause.said) and len(words) > 2:
            return True
        if kinds and (len(words) <= 6 or HEDGE.search(clause.said)):
            return True
    return False


def _behind_a_hedge(clause: Clause) -> bool:
    hedge = HEDGE.search(clause.said)
    return hedge is not None and any(kind in clause.said[hedge.end() :] for kind in (NAME, NUMBER))
