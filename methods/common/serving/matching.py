"""Which request a question is about: the subject by name, the wording by the words that it shares."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from methods.common.serving.server_state import StoredRequest

#: Words that every question has: they say nothing about which relation it asks for.
_FUNCTION_WORDS = frozenset(
    "a an and are as at be been by can could do does did for from give had has have how i in is it its me my name of "
    "on or please tell than that the their there these this to was were what when where which who whom whose why with "
    "would you your know called".split()
)
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")


def names_subject(question: str, subject: str) -> bool:
    """Whether the subject stands in the question as whole words; case matters in short symbols only."""
    flags = 0 if len(subject) <= 3 else re.IGNORECASE
    return re.search(rf"(?<!\w){re.escape(subject)}(?!\w)", question, flags) is not None


def words(text: str) -> list[str]:
    """Case-folded words with plural and possessive endings cut, so that "Japan's" meets "Japan"."""
    found = [word.casefold().removesuffix("'s") for word in _WORD.findall(text)]
    return [word[:-1] if len(word) > 4 and word.endswith("s") and not word.endswith("ss") else word for word in found]


def without_subject(question: str, subject: str | None) -> str:
    """The question with its subject taken out: what is left is the relation that it asks about."""
    if subject is None:
        return question
    return re.sub(rf"(?<!\w){re.escape(subject)}(?:'s)?(?!\w)", " ", question, flags=re.IGNORECASE)


def overlap(left: Sequence[str], right: Sequence[str]) -> float:
    """Jaccard index of two bags of words as sets, in [0, 1]."""
    first, second = set(left), set(right)
    return len(first & second) / len(first | second) if first | second else 0.0


class WordSpace:
    """Questions as bags of content words, those rare in the given texts counting more."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._count = len(texts)
        self._seen = Counter(word for text in texts for word in set(_content(text)))

    def similarity(self, left: str, right: str) -> float:
        """Cosine of the two weighted bags, in [0, 1]."""
        first, second = self._bag(left), self._bag(right)
        dot = sum(weight * second.get(word, 0.0) for word, weight in first.items())
        norm = math.sqrt(sum(w * w for w in first.values()) * sum(w * w for w in second.values()))
        return dot / norm if norm else 0.0

    def _bag(self, text: str) -> dict[str, float]:
        return {
            word: count * math.log((1 + self._count) / (0.5 + self._seen[word]))
            for word, count in Counter(_content(text)).items()
        }


def _content(text: str) -> list[str]:
    return [word for word in words(text) if word not in _FUNCTION_WORDS]


def request_named(question: str, requests: Sequence[StoredRequest]) -> StoredRequest | None:
    """The request whose subject the question names, the longest first; without subjects, by like wording."""
    named = [item for item in requests if item.subject is not None and names_subject(question, item.subject)]
    if named:
        return max(named, key=lambda item: (overlap(words(question), words(item.prompt)), len(item.subject or "")))
    asked = words(question)
    alike = [(overlap(asked, words(item.prompt)), item) for item in requests if item.subject is None]
    best = max(alike, key=lambda pair: pair[0], default=(0.0, None))
    return best[1] if best[0] >= 0.6 else None
