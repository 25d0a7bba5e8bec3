"""Checks of a server, before any scoring and after it; each failure has its own name and message."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

from evaluator.contract import EvaluationFailed, FailureCode
from evaluator.model.engine.parity import worst_gap
from evaluator.model.under_test import ModelUnderTest, Scored

#: Largest difference of a log-probability (nats) between two ways of asking the same.
TOLERANCE = 1e-3
#: Questions of no benchmark, of unlike length, so that a batch has to be padded.
QUESTIONS = (
    "What colour is a clear sky?",
    "Please name an animal that can fly, tell how long its wings are, and say in a few words why it stays in the air.",
    "Two and two?",
)
CONTINUED_TOKENS = 8
#: Different first tokens whose probabilities are added up: more than 1 is no distribution.
SUMMED_TOKENS = 64
#: Answers that are asked for once more when all is measured.
ASKED_AGAIN = 8

Tokens = list[int]


def _refuse(check: str, found: str) -> EvaluationFailed:
    return EvaluationFailed(FailureCode.SERVER_NOT_CONFORMANT, f"{check}: {found}")


class _Probe:
    """What every check asks about: prompts, the server's own continuations, and pairs of both. `lm`: `EvaluatorLM`."""

    def __init__(self, lm: Any) -> None:
        self.under_test: ModelUnderTest = lm.under_test
        self.encode = lm.tok_encode
        self.end: int = lm.eot_token_id
        self.prompts: list[Tokens] = [
            lm.tok_encode(lm.apply_chat_template([{"role": "user", "content": question}])) for question in QUESTIONS
        ]
        self.texts = self.continued(self.prompts)
        own = [lm.tok_encode(text) for text in self.texts]
        #: The server's own continuation of each prompt, with an end of sequence behind it.
        self.pairs = [(prompt, [*tokens, self.end]) for prompt, tokens in zip(self.prompts, own, strict=True)]
        self.others: list[Tokens] = [lm.tok_encode(text) for text in ("Yes, of course.", "Purple bicycles sing. Why?")]

    @cached_property
    def scored(self) -> list[Scored]:
        """The pairs, scored in one batch."""
        return self.under_test.score(self.pairs)

    def tokens(self, text: str) -> int:
        return len(self.encode(text))

    def continued(
        self, prompts: list[Tokens], *, tokens: int = CONTINUED_TOKENS, stop: tuple[str, ...] = ()
    ) -> list[str]:
        return self.under_test.generate(prompts, max_tokens=tokens, stop=list(stop))


def _stateless(probe: _Probe) -> None:
    """The same prompt has the same continuation alone, in a batch and in another order."""
    again = [probe.continued([prompt])[0] for prompt in reversed(probe.prompts)][::-1]
    turned = probe.continued(probe.prompts[::-1])[::-1]
    if not probe.texts == again == turned:
        raise _refuse("stateless", "the same prompt got another continuation alone or in another order")


def _batch(probe: _Probe) -> None:
    """Rows of unequal length in a batch score as each alone, the end of sequence included."""
    for pair, found in zip(probe.pairs, probe.scored, strict=True):
        worst = worst_gap(probe.under_test.score([pair])[0], found)
        if worst > TOLERANCE:
            raise _refuse(
                "batch", f"log-probabilities alone and in a batch differ by {worst:.4g}, more than {TOLERANCE}"
            )


def _greedy(probe: _Probe) -> None:
    """Re-tokenising a text may split it otherwise than it was generated: its first token can't be split."""
    for (_, tokens), text, found in zip(probe.pairs, probe.texts, probe.scored, strict=True):
        if len(tokens) > 1 and not found.hits[0]:
            raise _refuse(
                "greedy",
                f"the first token of the server's own greedy continuation {text[:40]!r} does not score as greedy",
            )


def _context_len(probe: _Probe) -> None:
    """The first token after the question scores alike whatever follows it."""
    for prompt, tokens in probe.pairs:
        tails = [(prompt, tokens[:1]), *((prompt, [*tokens[:1], *other]) for other in probe.others)]
        first, *rest = (found.before(1) for found in probe.under_test.score(tails))
        if any(worst_gap(first, found) > TOLERANCE for found in rest):
            raise _refuse(
                "context_len",
                "the first scored token changes with the continuation; route on tokens before context_len only",
            )


def _distribution(probe: _Probe) -> None:
    """Different first tokens are different events: their probabilities can't add up to more than 1."""
    prompt = probe.prompts[0]
    tokens = list(dict.fromkeys([*probe.pairs[0][1], *probe.others[0], *probe.others[1], *range(SUMMED_TOKENS)]))
    found = probe.under_test.score([(prompt, [token]) for token in tokens])
    total = math.fsum(math.exp(scored.logprobs[0]) for scored in found)
    if total > 1 + TOLERANCE:
        raise _refuse(
            "distribution",
            f"the probabilities of {len(tokens)} different next tokens add up to {total:.4g}; send natural logs of the "
            "unmodified softmax",
        )


def _max_tokens(probe: _Probe) -> None:
    """A shorter greedy continuation is the beginning of a longer one."""
    for long, short in zip(probe.texts, probe.continued(probe.prompts, tokens=2), strict=True):
        # The last character may be half of one, and two tokens may be split again into a few.
        if not long.startswith(short.rstrip("\ufffd")) or probe.tokens(short) > 2 * 2:
            raise _refuse("max_tokens", f"2 tokens gave {short[:40]!r}, {CONTINUED_TOKENS} gave {long[:40]!r}")


def _stop(probe: _Probe) -> None:
    """A continuation ends before the first stop string."""
    for prompt, text in zip(probe.prompts, probe.texts, strict=True):
        if len(text) < 2:
            continue
        stop = text[len(text) // 2]
        expected, found = text.split(stop)[0], probe.continued([prompt], stop=(stop,))[0]
        if found != expected:
            raise _refuse("stop", f"stop {stop!r} gave {found[:40]!r}, not {expected[:40]!r}")


CHECKS: tuple[Callable[[_Probe], None], ...] = (
    _stateless,
    _batch,
    _greedy,
    _context_len,
    _distribution,
    _max_tokens,
    _stop,
)


def server_check(lm: Any) -> None:
    """Before any probe is asked. Raises `EvaluationFailed(server_not_conformant)` with the check's name and finding."""
    probe = _Probe(lm)
    for check in CHECKS:
        check(probe)


def server_check_again(lm: Any, *, seed: int | str) -> None:
    """When all is measured: some answers once more, in this order and company. A server that remembers what it was
    asked, or that changed on the way, answers otherwise. Raises `EvaluationFailed(server_not_conformant)`.
    """
    for (prompt, tokens, stop), text in _chosen(lm, seed):
        ids = [lm.tok_encode(prompt)]
        # As it was asked before, draft and all, so that nothing marks the repetition.
        again = lm.under_test.generate(ids, max_tokens=tokens, stop=list(stop), drafts=lm.drafts(ids, (tokens, stop)))[
            0
        ]
        if again != text:
            raise _refuse("remembers", "a probe that was asked again at the end got another answer")


def _chosen(lm: Any, seed: int | str) -> Iterator[tuple[tuple[str, int, tuple[str, ...]], str]]:
    known = sorted(lm.generated.items())
    yield from random.Random(f"again:{seed}").sample(known, min(ASKED_AGAIN, len(known)))  # nosec B311 # the seed is the secret
