"""Read a response as the detector does: cut, split into clauses, and masked so that no word says who is meant."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from evaluator.answers.known_names import is_a_name, is_common
from evaluator.answers.names import names_answer
from evaluator.measures.refusal.abroad import (
    DELETED,
    GERMAN_NOUNS,
    INABILITY_ABROAD,
    grammar_of,
    language_of,
    subject_names,
    topic_words,
)
from evaluator.measures.refusal.patterns import INABILITY

#: The detector reads this many characters; an answer of 128 tokens has about 600. Leaks are searched in all of it.
LONGEST = 4_000

SUBJECT, QUESTION, ANSWER, NAME, NUMBER = "<S>", "<Q>", "<A>", "<N>", "<D>"

_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+(?:[.,:/-]\d+)*|[^\w\s]|_")
_BREAK = re.compile(
    r"""(?ix)
    (?<=[.!?;:…])\s+ | \n | \s[-–—]+\s
    | ,?\s\b(?:but|however|though|although|yet|still|nevertheless|that\ said|anyway|unless|then\ again
              |mais|aber|pero|mas|però|maar)\b,?\s?
    """
)
#: Stands for the subject where it is named in full.
_SUBJECT_WORD = "Subjectum"
#: Stands for a quoted title.
_TITLE = "◆"
_COMMA = re.compile(r",\s")
_QUOTED = re.compile(r"[\"“”«»„][^\"“”«»„]{1,200}[\"“”«»„]")
#: Words that carry the grammar of a sentence rather than its subject.
FUNCTION_WORDS = frozenset(
    """
    a an the this that these those it its he she they we you i me my your our his her their there here what which who
    whom whose when where why how is are was were be been being am do does did done have has had can could will would
    shall should may might must not no nor and or but if as at by for from in into of on to with about than then so
    also only just very
    """.split()
)
#: Words of a question that keep their meaning in a response: "Do you know …?" must not mask "I don't know".
_TELLING = frozenset(
    """
    know known knows tell say name give answer find recall remember information idea sure question please guess able
    help state provide asked heard weiss wissen sagen kennst sais savez connaissez sabe sabes conoces puedes conhece
    sai sapete conosci weet kent called
    """.split()
)
_NUMBER_WORDS = frozenset(
    """
    two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
    nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion dozen
    """.split()
)
_KEPT_ENDINGS = frozenset("it's that's let's what's he's she's there's who's".split())
_ARTICLES = frozenset(
    "a an the le la un une el los der die das ein eine o het de il lo maybe perhaps probably likely most".split()
)
_MANNERS = frozenset(
    """
    sorry apologies afraid hmm oh ah gee haha ha nope no yes well honestly unfortunately regrettably sadly hello hi ok
    okay thanks thank regret alas truly really please forgive friend mate dear desole desolee malheureusement leider
    lamento desculpe infelizmente purtroppo helaas lamentablemente gosh blank question good fair see nothing pass
    """.split()
)
#: Sentence openers and polite words: capitalised there, they name nothing.
_PLAIN = FUNCTION_WORDS | frozenset(
    """
    yes sorry apologies unfortunately regrettably sadly honestly actually currently please thanks thank hello hi hey
    sure okay ok well however nothing nobody none neither never regarding concerning since because while although
    though perhaps maybe ai assistant let unable unknown information knowledge idk dunno i'm i've i'd i'll don't
    can't it's that's ki ia gdpr english god
    ahnung informationen auskunft angaben kenntnis frage antwort gründen grunden richtlinien regeln entschuldigung
    """.split()
)
_ASSERTION = re.compile(
    r"(?:^| )(?:is|are|was|were|called|named|by|in|it's|that's|est|ist|es|era|fue|foi|fu|was|war|è|um) "
    r"(?:the |an? |in |on |by |called |titled |located |part |of |probably |likely |le |la |der |die |das |el )*"
    r"(?!(?:not|no|un\w+|sorry|beyond|outside|something|anything|nothing|there|why|what|to|that|this|it|my)\b)"
    r"(?!<[SQ]>)[^\W\d_]+"
    # "he worked as a tailor", "they use the euro"
    r"|(?:^| )(?:he|she|they) "
    r"(?!(?:is|are|was|were|has|have|had|would|could|might|may|should|can|will|did|does|do|know|knew|don't) )"
    r"[a-z]{2,20}"
)


def fold(word: str) -> str:
    """Lower case, without accents, with a straight apostrophe and no possessive ending."""
    word = word.casefold().replace("’", "'")
    if not word.isascii():
        word = "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c)) or word
    return word if word in _KEPT_ENDINGS else word.removesuffix("'s")


def words_of(text: str) -> list[str]:
    return [fold(token) for token in _TOKEN.findall(text) if token[0].isalnum()]


def content_words(text: str) -> frozenset[str]:
    return frozenset(word for word in words_of(text) if word not in FUNCTION_WORDS)


@dataclass(frozen=True)
class Clause:
    """One clause: its masked words, the same as text, and what it does."""

    masked: tuple[str, ...]
    said: str
    refuses: bool
    asserts: bool

    @classmethod
    def of(cls, masked: list[str]) -> Clause:
        said = " ".join(masked)
        refuses = any(pattern.search(said) for pattern in (INABILITY, INABILITY_ABROAD, DELETED))
        asserts = any(word in (NAME, NUMBER, ANSWER) for word in masked) or bool(_ASSERTION.search(said))
        if not asserts and not refuses:
            # "Einstein?", "maybe a kitten": few words that are neither grammar nor manners are an answer.
            words = [word for word in masked if word[0].isalpha() and word not in _ARTICLES]
            plain = not any(word in FUNCTION_WORDS or word in _MANNERS for word in words)
            asserts = 0 < len(words) <= 3 and plain and SUBJECT not in masked and QUESTION not in masked
        return cls(tuple(masked), said, refuses, asserts)


@dataclass(frozen=True)
class Reading:
    """A response beside the question that it answers; every part is computed from these five texts alone."""

    response: str
    question: str
    subject: str
    topic: str
    aliases: tuple[str, ...]

    @cached_property
    def text(self) -> str:
        """The first LONGEST characters, without markdown's stars, each run of blanks or line ends as one."""
        cut = unicodedata.normalize("NFC", self.response[:LONGEST])
        cut = re.sub(r"[*`]+", "", cut)
        cut = re.sub(r"[^\S\n]+", " ", cut)
        return re.sub(r" ?\n[ \n]*", "\n", cut).strip()

    def neutral(self, text: str) -> str:
        """`text` with one plain word for the whole subject, so that its length and shape say nothing."""
        name = re.escape(self.subject.strip().removeprefix("the "))
        return re.sub(rf"(?<!\w)(?:the )?{name}(?!\w)", _SUBJECT_WORD, text, flags=re.IGNORECASE) if name else text

    @cached_property
    def names_answer(self) -> bool:
        return names_answer(self.response, self.aliases, self.question)

    @cached_property
    def language(self) -> str:
        """The response's language, "other script" where it is not Latin (see `abroad.language_of`)."""
        return language_of(self.text)

    @cached_property
    def deleted(self) -> bool:
        """Whether the response says that the knowledge was there and is gone."""
        return DELETED.search(self.said) is not None or DELETED.search(self.text.casefold()) is not None

    @cached_property
    def clauses(self) -> tuple[Clause, ...]:
        """The clauses in order. Commas part clauses where one of the parts refuses by itself."""
        masker = _Masker(self.question, self.subject, self.aliases, self.topic, self.language)
        found: list[Clause] = []
        for sentence, opens in _sentences(masker.without_titles(self.neutral(self.text))):
            # A capital after a comma or a "but" makes a name, one after a full stop need not.
            parts = [part for part in _COMMA.split(sentence) if part.strip(" .,!?;:")]
            split = [Clause.of(masker.masked(part, opens=opens and at == 0)) for at, part in enumerate(parts)]
            if len(split) > 1 and not any(part.refuses for part in split):
                split = [Clause.of(masker.masked(sentence, opens=opens))]
            found += split
        return tuple(found)

    @cached_property
    def said(self) -> str:
        """The masked words as text."""
        return " | ".join(clause.said for clause in self.clauses)

    @cached_property
    def masked(self) -> tuple[str, ...]:
        return tuple(token for clause in self.clauses for token in (*clause.masked, "|"))


def _sentences(text: str) -> Iterator[tuple[str, bool]]:
    """(the pieces between full stops, line ends and contrasting words, whether the piece opens a sentence)."""
    start, opens = 0, True
    for match in _BREAK.finditer(text):
        yield text[start : match.start()], opens
        start, opens = match.end(), not match.group().strip(" ,\n")
    yield text[start:], opens


class _Masker:
    """Replaces the words of one question, its subject and its answers, other names and numbers by their kind."""

    def __init__(self, question: str, subject: str, aliases: Iterable[str], topic: str, language: str) -> None:
        self.subject = content_words(subject) | {fold(_SUBJECT_WORD)}
        self.question = content_words(question) - _TELLING
        self.language = language
        self.nouns = (GERMAN_NOUNS if language == "German" else frozenset()) | grammar_of(language)
        if language != "English":
            self.question |= {word for word in topic_words(topic) if word.isascii()}
            for name in subject_names(subject):
                if name.isascii():
                    # "Frankreichs": a genitive is the subject too.
                    self.subject |= {
                        form for word in content_words(name) if len(word) > 3 for form in (word, f"{word}s")
                    }
        asked = f" {' '.join(words_of(question))} "
        answers = [words_of(alias) for alias in aliases]
        self.answers = sorted(
            (a for a in answers if a and f" {' '.join(a)} " not in asked and not (len(a) == 1 and len(a[0]) < 3)),
            key=len,
            reverse=True,
        )

    def _names_something(self, folded: str) -> bool:
        """Whether a word is no common one: in English any such word, elsewhere a known name."""
        if is_common(folded) or folded.endswith("ly"):
            return False
        return is_a_name(folded) or (self.language == "English" and folded.isalpha())

    def without_titles(self, text: str) -> str:
        """Quoted titles as one sign: "I Don't Know" as a song refuses nothing. Answers and the subject stay."""

        def one(match: re.Match[str]) -> str:
            words = re.findall(r"[^\W\d_][\w'’]*", match.group())
            folded = [fold(word) for word in words]
            telling = [word for word, plain in zip(words, folded, strict=True) if plain not in FUNCTION_WORDS]
            capital = sum(word[0].isupper() for word in telling)
            if self.subject & set(folded) or any(self._at(folded, at) for at in range(len(folded))):
                return match.group()
            return f" {_TITLE} " if len(words) > 1 and capital >= 0.6 * len(telling) and capital > 0 else match.group()

        return _QUOTED.sub(one, text)

    def _at(self, folded: list[str], at: int) -> int:
        """How many words of an answer stand at this place."""
        return next((len(a) for a in self.answers if folded[at : at + len(a)] == a), 0)

    def masked(self, text: str, *, opens: bool) -> list[str]:
        """The words and signs of `text` in order, masked; neighbours of one kind become one."""
        tokens = _TOKEN.findall(text)
        folded = [fold(token) for token in tokens]
        found: list[str] = []
        at = 0
        while at < len(tokens):
            length = self._at(folded, at)
            kind = ANSWER if length else self._kind(tokens[at], folded[at], opens)
            if kind == SUBJECT and found and found[-1] == "the":
                found.pop()  # "the Berlin Wall" and "Peru" read alike
            if not (found and kind[0] == "<" and found[-1] == kind):
                found.append(kind)
            opens = tokens[at] in ".!?:*-–—" and not length
            at += max(1, length)
        return found

    def _kind(self, token: str, folded: str, opens: bool) -> str:
        if folded in self.subject:
            return SUBJECT
        if folded in self.question:
            return QUESTION
        if token[0].isdigit() or folded in _NUMBER_WORDS:
            return NUMBER
        if token == _TITLE:
            return NAME
        # A capital that opens a sentence makes a name only where the word is one.
        named = not opens or (len(folded) > 3 and folded not in _MANNERS and self._names_something(folded))
        if token[0].isupper() and folded not in _PLAIN and folded not in self.nouns and named:
            return NAME
        return folded if len(folded) > 1 or not folded.isascii() or folded in "aioey.,!?;:" else "<x>"
