"""What is measured side by side: our engine, lm-eval's `hf` model, and the one-forward-a-metric way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from evaluator.measures.metrics import membership, tokens
from evaluator.measures.metrics.open_unlearning import truth_share
from evaluator.performance.workload import MAX_NEW_TOKENS, Workload

if TYPE_CHECKING:
    from evaluator.performance.one_forward import OneForward

Figures = dict[str, float]
#: Log-likelihoods of every pair, in nats.
Scores = list[float]


class Contender(Protocol):
    """Everything is done afresh in each call, tokenisation included; only the model stays loaded."""

    def score(self, work: Workload) -> Scores: ...

    def generate(self, work: Workload) -> list[str]: ...

    def suite(self, work: Workload) -> tuple[dict[str, list[float]], list[str]]:
        """The metrics of an unlearning suite, and the generations."""
        ...

    def counts(self) -> dict[str, int]:
        """What the tool itself counted in its last call, where it does."""
        ...


def _instances(kind: Any, arguments: list[tuple[Any, ...]]) -> list[Any]:
    from lm_eval.api.instance import Instance  # noqa: PLC0415 - loads torch

    return [Instance(request_type=kind, doc={}, arguments=one, idx=n) for n, one in enumerate(arguments)]


def _likelihoods(lm: Any, work: Workload) -> Scores:
    return [float(value) for value, _ in lm.loglikelihood(_instances("loglikelihood", list(work.pairs)))]


def _continuations(lm: Any, work: Workload) -> list[str]:
    options = {"until": [], "max_gen_toks": MAX_NEW_TOKENS, "do_sample": False}
    requests = _instances("generate_until", [(prompt, dict(options)) for prompt in work.prompts])
    return [str(text) for text in lm.generate_until(requests)]


class Palimpsest:
    """Our engine through lm-eval's interface, as a run uses it."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        from evaluator.model.local import LocalModel  # noqa: PLC0415 - loads torch

        self.model, self.tokenizer = model, tokenizer
        self.under_test = LocalModel(model, tokenizer)
        # The check of this very model belongs to its loading, which is not timed.
        self.checked = self.under_test.shares

    def _lm(self) -> Any:
        from evaluator.model.engine.lm import EvaluatorLM  # noqa: PLC0415 - loads torch
        from evaluator.model.local import LocalModel  # noqa: PLC0415 - loads torch

        self.under_test = LocalModel(self.model, self.tokenizer)
        self.under_test.shares = self.checked
        return EvaluatorLM(self.under_test, self.tokenizer)

    def score(self, work: Workload) -> Scores:
        return _likelihoods(self._lm(), work)

    def generate(self, work: Workload) -> list[str]:
        return _continuations(self._lm(), work)

    def suite(self, work: Workload) -> tuple[dict[str, list[float]], list[str]]:
        def mean(prompt: str, continuation: str) -> float:
            found = tokens.mean_token_logprob(lm.answered(prompt, continuation).logprobs)
            return float("nan") if found is None else found

        lm = self._lm()
        _likelihoods(lm, work)
        texts = _continuations(lm, work)
        answers = [(item.prompt, item.continuations[0]) for item in work.items]
        found = [lm.answered(*pair) for pair in answers]
        others = [[mean(item.prompt, other) for other in item.continuations[1:]] for item in work.items]
        values: dict[str, Sequence[float | None]] = {
            "probability": [tokens.sequence_probability(s.logprobs) for s in found],
            "loss": [-mean(*pair) for pair in answers],
            "extraction_strength": [tokens.extraction_strength(s.hits) for s in found],
            "exact_memorization": [tokens.exact_memorization(s.hits) for s in found],
            "zlib": [membership.zlib_score(s.logprobs, answer) for s, (_, answer) in zip(found, answers, strict=True)],
            "min_k": [membership.min_k_score(s.logprobs) for s in found],
            "min_k++": [membership.min_k_plus_plus_score(s.logprobs, s.means, s.variances) for s in found],
            "truth_ratio": [truth_share([right], wrong) for right, *wrong in others],
        }
        return {name: [float("nan") if v is None else v for v in column] for name, column in values.items()}, texts

    def counts(self) -> dict[str, int]:
        return {"useful_tokens": self.under_test.trunk.computed, "head_rows": self.under_test.trunk.head.rows}


class LmEval:
    """lm-eval's own `hf` model at one batch size."""

    def __init__(self, model: Any, tokenizer: Any, batch_size: str) -> None:
        from lm_eval.models.huggingface import HFLM  # noqa: PLC0415 - loads torch

        size = batch_size if batch_size == "auto" else int(batch_size)
        self.make: Callable[[], Any] = lambda: HFLM(
            pretrained=model, tokenizer=tokenizer, batch_size=size, max_batch_size=64, device="cpu"
        )

    def score(self, work: Workload) -> Scores:
        return _likelihoods(self.make(), work)

    def generate(self, work: Workload) -> list[str]:
        return _continuations(self.make(), work)

    def suite(self, work: Workload) -> tuple[dict[str, list[float]], list[str]]:
        raise NotImplementedError("lm-eval has no unlearning suite")

    def counts(self) -> dict[str, int]:
        return {}


class OneForwardAMetric:
    """The emulation of the usual suites."""

    def __init__(self, model: Any, tokenizer: Any, batch_size: str) -> None:
        from evaluator.performance.one_forward import OneForward  # noqa: PLC0415 - loads torch

        self.make: Callable[[], OneForward] = lambda: OneForward(model, tokenizer, batch_size=int(batch_size))

    def score(self, work: Workload) -> Scores:
        raise NotImplementedError("this way has no scoring apart from its metrics")

    def generate(self, work: Workload) -> list[str]:
        return self.make().generate(work.prompts, max_tokens=MAX_NEW_TOKENS)

    def suite(self, work: Workload) -> tuple[dict[str, list[float]], list[str]]:
        return self._suite(self.make(), work)

    def reference(self, work: Workload) -> tuple[dict[str, list[float]], list[str]]:
        """The same suite with a softmax in double precision: what values are compared with, and never timed."""
        import torch  # noqa: PLC0415 - loads torch

        exact = self.make()
        exact.softmax = torch.double
        return self._suite(exact, work)

    def _suite(self, emulation: OneForward, work: Workload) -> tuple[dict[str, list[float]], list[str]]:
        items = [(item.prompt, item.continuations) for item in work.items]
        return emulation.suite(items, max_tokens=MAX_NEW_TOKENS)

    def counts(self) -> dict[str, int]:
        return {}


def contender(name: str, model: Any, tokenizer: Any) -> Contender:
    """`palimpsest`, `lm-eval:BATCH` or `one-forward:BATCH`. Raises `LookupError` for another name."""
    kind, _, batch = name.partition(":")
    if kind == "palimpsest":
        return Palimpsest(model, tokenizer)
    if kind == "lm-eval":
        return LmEval(model, tokenizer, batch or "8")
    if kind == "one-forward":
        return OneForwardAMetric(model, tokenizer, batch or "32")
    raise LookupError(f"contender: {name!r} is unknown; known: palimpsest, lm-eval:BATCH, one-forward:BATCH")
