"""Checks of a server before any scoring; each failure has its own message. The full suite is `docs/contract.md`."""

from __future__ import annotations

from evaluator.contract import EvaluationFailed, FailureCode
from evaluator.engine.lm import EvaluatorLM

TOLERANCE = 1e-3
_QUESTIONS = ("What colour is a clear sky?", "Please name an animal that can fly, and say why it can.")


def _refuse(check: str, found: str) -> EvaluationFailed:
    return EvaluationFailed(FailureCode.SERVER_NOT_CONFORMANT, f"{check}: {found}")


def server_check(lm: EvaluatorLM) -> None:
    """Raises `EvaluationFailed(server_not_conformant)`; the questions belong to no benchmark."""
    prompts = [lm.tok_encode(lm.apply_chat_template([{"role": "user", "content": q}])) for q in _QUESTIONS]
    texts = lm.subject.generate(prompts, max_tokens=8, stop=[])
    again = [lm.subject.generate([prompt], max_tokens=8, stop=[])[0] for prompt in reversed(prompts)][::-1]
    if texts != again:
        raise _refuse(
            "stateless",
            "the same prompt got another continuation alone or in another order",
        )
    continuations = [lm.tok_encode(text) for text in texts]
    pairs = [(p, c) for p, c in zip(prompts, continuations, strict=True) if c]
    together = lm.subject.score(pairs)
    for number, pair in enumerate(pairs):
        alone = lm.subject.score([pair])[0]
        worst = max((abs(a - b) for a, b in zip(alone.logprobs, together[number].logprobs, strict=True)), default=0.0)
        if worst > TOLERANCE:
            raise _refuse(
                "batch", f"log-probabilities alone and in a batch differ by {worst:.4g}, more than {TOLERANCE}"
            )
        # Re-tokenising a text may split it otherwise than it was generated: the first token cannot.
        if not alone.hits[0]:
            raise _refuse("greedy", "the first token of the server's own greedy continuation does not score as greedy")
        if len(pair[1]) > 1:
            shorter = lm.subject.score([(pair[0], pair[1][:1])])[0]
            if abs(shorter.logprobs[0] - alone.logprobs[0]) > TOLERANCE:
                raise _refuse(
                    "context_len",
                    "the first scored token changes with the continuation; route on tokens before context_len only",
                )
