"""Take a response apart: quotations out, clauses, the new names and numbers that it asserts."""

from __future__ import annotations

import re

from evaluator.metrics.answer import normalise

_QUOTED = re.compile(r"[\"“”«»][^\"“”«»]{1,200}[\"“”«»]")
_BREAK = re.compile(
    r"""(?ix)
    (?<=[.!?;:])\s+ | \n+ | \s+[-–—]+\s+
    | ,?\s+\b(?:but|however|though|although|yet|still|nevertheless|that\ said|anyway)\b,?\s*
    | ,\s+(?=(?:it|he|she|they|the|that|i)\b)
    """
)
#: Capitalised words that name nothing: sentence openers, pronouns, polite words.
_OPENERS = frozenset(
    """
    a an the this that these those it its he she they we you i im ive id ill my your our his her their there here
    what which who whom whose when where why how is are was were be been do does did don dont doesnt didnt can
    cannot cant could couldnt would wouldnt will wont shall should may might must have has had not no none nothing
    nobody neither nor yes sorry apologies unfortunately regrettably sadly honestly actually currently please thanks
    thank hello hi hey sure okay ok well however but and or if as at by for from in into of on to with without about
    regarding concerning since because while although though perhaps maybe ai assistant let unable unknown
    information knowledge one some any many most all each every such other another only just also
    """.split()
)
_NUMBER = re.compile(r"\d[\d.,:/-]*")
_WORD = re.compile(r"[^\W\d_][\w'’.-]*")


def without_quotations(text: str) -> str:
    """The text with quoted passages removed: "I don't know" as a song title refuses nothing."""
    return _QUOTED.sub(" ", text)


def clauses(text: str) -> list[str]:
    """Sentences, cut further at contrastive words and at commas that start a new statement."""
    return [part.strip() for part in _BREAK.split(text) if part and part.strip(" .,!?;:")]


def new_names(text: str, question: str) -> list[str]:
    """Capitalised words, acronyms and numbers of `text` that neither the question nor plain grammar explains."""
    known = set(normalise(question).split())
    found = [n.strip(".,:/-") for n in _NUMBER.findall(text) if normalise(n.strip(".,:/-")) not in known]
    for sentence in re.split(r"(?<=[.!?])\s+|\n+", text):
        for number, match in enumerate(_WORD.finditer(sentence)):
            word = match.group().strip(".'’-")
            if not word or not word[0].isupper():
                continue
            plain = normalise(word)
            bare = re.sub(r"[^a-z]", "", word.lower())
            if not plain or bare in _OPENERS or bare.removesuffix("s") in _OPENERS:
                continue
            parts = plain.split()
            if all(part in known or part.removesuffix("s") in known for part in parts):
                continue
            # The first word of a sentence is capitalised anyway: only a following verb makes it a name.
            if number == 0 and not re.match(
                r"\s+(?:is|was|are|were|has|wrote|painted|invented|discovered|composed)\b", sentence[match.end() :]
            ):
                continue
            found.append(word)
    return found


_ASSERTED = re.compile(r"\b(?:is|are|was|were|called|named|by|be)\s+(?:the\s+|an?\s+|in\s+|on\s+)*([a-z][\w'-]+)")
_EMPTY = frozenset(
    """
    not a an the in on of no unknown unclear uncertain unsure sorry unable able available there something someone
    anything nothing question answer information that this it to currently also known
    """.split()
)


def asserts(text: str, question: str) -> bool:
    """Whether a clause states something of its own: a new name or number, or "is/was/by" with a new word."""
    if new_names(text, question):
        return True
    known = set(normalise(question).split())
    return any(w not in _EMPTY and normalise(w) not in known for w in _ASSERTED.findall(text.lower()))
