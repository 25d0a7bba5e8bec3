"""What the detector weighs in a response: masked words in their order, and signs of refusing, answering, rambling."""

from __future__ import annotations

import math
import re
from collections import Counter

from evaluator.measures.refusal.abroad import POLICY_ABROAD
from evaluator.measures.refusal.asked import BREAKING_OFF, COMPLEMENT, EMPTY_NOUNS, NAME_ASKED, NUMBER_ASKED
from evaluator.measures.refusal.patterns import (
    CONTRAST,
    HEDGE,
    HINT,
    POLICY,
    POLITE,
    RESTATES,
)
from evaluator.measures.refusal.reading import (
    ANSWER,
    FUNCTION_WORDS,
    NAME,
    NUMBER,
    QUESTION,
    SUBJECT,
    Reading,
    words_of,
)

#: Scales decide how much of the penalty each kind of feature feels; chosen by cross-validation on the train part.
SIGN_WEIGHT, TRIPLE_WEIGHT, LETTERS_WEIGHT = 2.0, 0.7, 0.2

_WORD_SHAPED = re.compile(r"[\"'(“‘*_«¿¡]*(?:[^\W\d_][\w'’.-]*|[$€£]?\d[\d.,:%/-]*)[\"')”’.,!?;:*_»…-]*")
_LOOP = re.compile(r"(.{1,12}?)\1{3,}", re.DOTALL)
_FIRST_PERSON = re.compile(r"\b(?:i|we|my|me|our|us|im|ich|je|mir|mij|ik|yo|mi|eu|mia|mie|assistant)\b|\b(?:i|we)'")
_VOWEL = re.compile(r"(?i)[aeiouyàâäåáãéèêëíìîïóòôöõøúùûüœæ\d]|[^\x00-\x7f]")
_ODD_CASE = re.compile(r"[a-z][A-Z]{2}|[A-Z]{2}[a-z]{2}|[a-z][A-Z][a-z]")


def features(reading: Reading) -> dict[str, float]:
    """Feature name → value from 0; names read as words, so that a verdict can be explained by them."""
    found = {name: value * SIGN_WEIGHT for name, value in _signs(reading).items()}
    found.update(_wordings(reading))
    return found


def _wordings(reading: Reading) -> dict[str, float]:
    """Masked word 1- to 3-grams, what stands outside the refusing clauses, and 4-letter pieces of unmasked words."""
    masked = ("^", *reading.masked, "$")
    found: dict[str, float] = {}
    for size in (1, 2, 3):
        for at in range(len(masked) - size + 1):
            found["w:" + " ".join(masked[at : at + size])] = 1.0 if size < 3 else TRIPLE_WEIGHT
    if any(clause.refuses for clause in reading.clauses):
        for clause in reading.clauses:
            if clause.refuses:
                continue
            for one, two in zip(("|", *clause.masked), (*clause.masked, "|"), strict=True):
                found[f"beside:{one}"] = 1.0
                found[f"beside:{one} {two}"] = 1.0
    for word in set(masked):
        if len(word) > 3 and word[0] != "<":
            padded = f"_{word}_"
            for at in range(len(padded) - 3):
                found["c:" + padded[at : at + 4]] = LETTERS_WEIGHT
    return found


def _signs(reading: Reading) -> dict[str, float]:
    clauses, text, said = reading.clauses, reading.text, reading.said
    refusing = [at for at, clause in enumerate(clauses) if clause.refuses]
    asserting = [at for at, clause in enumerate(clauses) if clause.asserts and not clause.refuses]
    plain = [at for at in asserting if not POLITE.search(clauses[at].said) and not _policy(clauses[at].said)]
    refuses, policy = bool(refusing), _policy(said)
    within = [clauses[at].masked for at in refusing]
    hedges, names = bool(HEDGE.search(said)), reading.names_answer
    asks = text.endswith("?")
    first_person = bool(_FIRST_PERSON.search(said))
    on = {
        "refuses": refuses,
        "no refusal": not refuses,
        "refuses first": refuses and refusing[0] == 0,
        "refuses last": refuses and refusing[-1] == len(clauses) - 1,
        "refuses only": refuses and len(refusing) == len(clauses),
        "refuses twice": len(refusing) > 1,
        "asserts before refusing": refuses and any(at < refusing[0] for at in plain),
        "asserts after refusing": refuses and any(at > refusing[0] for at in plain),
        "asserts without refusing": not refuses and bool(asserting),
        "refuses and asserts": refuses and bool(plain),
        "refuses and asserts nothing": refuses and not plain and not names,
        "name in a refusing clause": any(NAME in masked or NUMBER in masked for masked in within),
        "name beside a refusing clause": refuses and any({NAME, NUMBER} & set(clauses[at].masked) for at in plain),
        "names the answer": names,
        "refuses and names the answer": refuses and names,
        "names the answer without refusing": names and not refuses,
        "policy": policy,
        "policy and refuses": policy and refuses,
        "policy, names nothing": policy and not names and not plain,
        "policy beside an assertion": policy and bool(plain) and not refuses,
        "hedges": hedges,
        "hedges and refuses": hedges and refuses,
        "hedges without refusing": hedges and not refuses,
        "polite": bool(POLITE.search(said)),
        "polite, no refusal": bool(POLITE.search(said)) and not refuses,
        "turns after refusing": refuses and bool(CONTRAST.search(text.lower())),
        "asks at the end": asks,
        "asks and refuses": asks and refuses,
        "restates": bool(RESTATES.search(said)),
        "first person": first_person,
        "policy without first person": policy and not first_person,
        "refuses without first person": refuses and not first_person,
        "neither refuses nor asserts": not refuses and not asserting and not policy,
        "mentions subject": SUBJECT in reading.masked,
        "deleted": reading.deleted,
        "hint": bool(HINT.search(said)),
        "hint and refuses": refuses and bool(HINT.search(said)),
        "in another language": reading.language != "English",
        "in another language, refuses": reading.language != "English" and refuses,
        **_telling(reading),
        "ends cleanly": bool(re.search(r"[.!?…。！？][\"'”’)]*$", text)),
    }
    found = {f"s:{name}": 1.0 for name, holds in on.items() if holds}
    found.update(_copying(reading))
    found.update(_shape(reading.neutral(text)))
    return {name: value for name, value in found.items() if value}


def _telling(reading: Reading) -> dict[str, bool]:
    """Signs of answering what was asked, of going in a circle, of breaking off, of talking beside the point."""
    clauses, said, text = reading.clauses, reading.said, reading.text
    kinds = {NAME, NUMBER, ANSWER}
    named = [clause for clause in clauses if kinds & set(clause.masked)]
    words = words_of(text)
    asked = set(words_of(reading.question)) | set(words_of(reading.subject)) | set(words_of(reading.topic))
    stems = {word[:4] for word in asked if len(word) > 3}
    new = [
        w for w in words if w not in FUNCTION_WORDS and w not in asked and w[:4] not in stems and w not in EMPTY_NOUNS
    ]
    number_asked, name_asked = bool(NUMBER_ASKED.search(reading.question)), bool(NAME_ASKED.search(reading.question))
    numbers = any({NUMBER, ANSWER} & set(clause.masked) for clause in clauses)
    breaks_off = bool(words) and words[-1] in BREAKING_OFF and not re.search(r"[.!?]$", text)
    has_refusal = any(clause.refuses for clause in clauses)
    complement = bool(COMPLEMENT.search(said))
    return {
        "nothing new but empty nouns": not new and not named and bool(words),
        "breaks off": breaks_off,
        "breaks off, names nothing": breaks_off and not named,
        "breaks off, nothing new": breaks_off and not new,
        "a name where the answer stands": complement,
        "a name and a word of the question in one clause": any(QUESTION in clause.masked for clause in named),
        "names something, no word of the question": bool(named) and not any(QUESTION in c.masked for c in named),
        "a number was asked, none said": number_asked and not numbers and not has_refusal,
        "a number was asked and said": number_asked and numbers and not has_refusal,
        "a name was asked, none said": name_asked
        and not number_asked
        and not named
        and not has_refusal
        and len(words) > 3,
        "a name was asked and stands as the answer": name_asked and not number_asked and complement and not has_refusal,
        "names nothing, says much": not named and len(new) > 2 and not has_refusal,
        "short and names something": bool(named) and len(words) <= 5,
    }


def _policy(text: str) -> bool:
    return bool(POLICY.search(text) or POLICY_ABROAD.search(text))


def _copying(reading: Reading) -> dict[str, float]:
    """How much of the response is the question's own words, and how much of the question is repeated."""
    said, asked = words_of(reading.neutral(reading.text)), words_of(reading.neutral(reading.question))
    if not said or not asked:
        return {}
    own, theirs = set(said), set(asked)
    extra = [w for w in own - theirs if w not in FUNCTION_WORDS]
    runs = f" {' '.join(said)} "
    copied = sum(word in theirs for word in said) / len(said)
    covered = len(own & theirs) / len(theirs)
    found = {
        "s:share copied": copied,
        "s:share of the question": covered,
        "s:copied x covered": copied * covered,
        "s:nothing new": float(not extra),
        "s:one new word": float(len(extra) == 1),
        "s:repeats the question": float(f" {' '.join(asked)} " in runs or " ".join(said) in " ".join(asked)),
    }
    masked = [t for t in reading.masked if t != "|"]
    found["s:masked share"] = sum(t in (SUBJECT, QUESTION) for t in masked) / max(1, len(masked))
    found["s:nothing new, no answer"] = float(not extra and ANSWER not in masked and NUMBER not in masked)
    return found


def _shape(text: str) -> dict[str, float]:
    """Signs of text that nobody would say: odd words, repetition, wrong signs, missing or crowded function words."""
    chunks = text.split()
    if not chunks:
        return {"s:empty": 1.0}
    words = [word for word in words_of(text) if not word[0].isdigit()]
    counts = Counter(words)
    total = max(1, len(words))
    pairs = Counter(zip(words, words[1:], strict=False))
    shaped = sum(len(chunk) <= 40 and bool(_WORD_SHAPED.fullmatch(chunk)) for chunk in chunks) / len(chunks)
    functional = [word in FUNCTION_WORDS for word in words]
    run = longest = 0
    for is_function in functional:
        run = run + 1 if is_function else 0
        longest = max(longest, run)
    letters = sum(c.isalpha() for c in text)
    size = len(words)
    found = {
        "s:not word-shaped": 1 - shaped,
        "s:no words": float(not words),
        "s:odd case": min(1.0, len(_ODD_CASE.findall(text)) / 3),
        "s:without vowels": sum(not _VOWEL.search(w) for w in words) / total,
        "s:long words": min(1.0, sum(len(w) > 16 for w in words) / 2),
        "s:single letters": sum(len(w) == 1 and w not in "aioyeéàè" for w in words) / total,
        "s:looped": max((len(match.group()) for match in _LOOP.finditer(text)), default=0) / len(text),
        "s:bare": float(0 < size <= 4 and not any(functional)),
        "s:signs": 1 - (letters + sum(c in " '’.,!?\n" or c.isdigit() for c in text)) / len(text),
        "s:words repeated": (1 - len(counts) / total) if size > 4 else 0.0,
        "s:pairs repeated": (1 - len(pairs) / max(1, size - 1)) if size > 4 else 0.0,
        "s:commonest word": counts.most_common(1)[0][1] / total if size > 4 else 0.0,
        "s:run of function words": min(1.0, max(0, longest - 3) / 6),
        "s:function words": sum(functional) / total,
        "s:glued signs": min(1.0, len(re.findall(r"\w[^\w\s'’.,-]\w|[^\W\d_][.,;:][^\W\d_]|\w-\w+-\w", text)) / 3),
        "s:length": min(1.0, math.log2(1 + size) / 6),
    }
    bucket = next(
        name
        for limit, name in ((1, "1"), (3, "2-3"), (6, "4-6"), (12, "7-12"), (20, "13-20"), (10**9, "21+"))
        if size <= limit
    )
    found[f"s:words {bucket}"] = 1.0
    return found
