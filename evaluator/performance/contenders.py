"""What is measured side by side: our engine, lm-eval's `hf` and `vllm` models, and the one-forward-a-metric way."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from evaluator.measures.metrics import membership, tokens
from evaluator.measures.metrics.open_unlearning import truth_share
from evaluator.model.engine.primitives import PRIMITIVES, PrimitiveStore
from evaluator.performance.workload import MAX_NEW_TOKENS, KeptWork, Workload

if TYPE_CHECKING:
    from evaluator.performance.one_forward import OneForward

#: Share of a card's memory that vLLM may take: the others are loaded beside it.
VLLM_MEMORY = 0.4
#: Log-likelihoods of every pair, in nats.
Scores = list[float]


class Contender(Protocol):
    """Everything is done afresh in each call, tokenisation included; only the model stays loaded."""

    def score(self, work: Workload) -> Scores: ...

    def generate(self, work: Workload) -> list[str]: ...

    def kept(self, work: KeptWork) -> list[str]:
        """Answers to the probes of a release, as long as a run lets them be."""
        ...

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


def _continuations(lm: Any, prompts: Sequence[str], max_tokens: int = MAX_NEW_TOKENS) -> list[str]:
    options = {"until": [], "max_gen_toks": max_tokens, "do_sample": False}
    requests = _instances("generate_until", [(prompt, dict(options)) for prompt in prompts])
    return [str(text) for text in lm.generate_until(requests)]


def _answers(lm: Any, work: KeptWork) -> list[str]:
    from evaluator.model.engine.lm import MAX_NEW_TOKENS as ANSWER_TOKENS  # noqa: PLC0415 - loads torch

    return _continuations(lm, work.prompts, ANSWER_TOKENS)


class Palimpsest:
    """Our engine through lm-eval's interface, as a run uses it."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        from evaluator.model.local import LocalModel  # noqa: PLC0415 - loads torch

        self.model, self.tokenizer = model, tokenizer
        self.under_test = LocalModel(model, tokenizer)
        # The check of this very model belongs to its loading, which is not timed.
        self.checked = self.under_test.shares

    def _lm(self, **options: Any) -> Any:
        from evaluator.model.engine.lm import EvaluatorLM  # noqa: PLC0415 - loads torch
        from evaluator.model.local import LocalModel  # noqa: PLC0415 - loads torch

        self.under_test = LocalModel(self.model, self.tokenizer)
        self.under_test.shares = self.checked
        return EvaluatorLM(self.under_test, self.tokenizer, **options)

    def score(self, work: Workload) -> Scores:
        return _likelihoods(self._lm(), work)

    def generate(self, work: Workload) -> list[str]:
        return _continuations(self._lm(), work.prompts)

    def kept(self, work: KeptWork) -> list[str]:
        """As a run does it: the base's kept answers are drafts, and what is answered is kept in a store of its own.

        Raises `ValueError` where no answer of a base is kept.
        """
        with (
            tempfile.TemporaryDirectory(prefix="palimpsest-bench-") as folder,
            closing(PrimitiveStore(Path(folder) / PRIMITIVES, shared=work.primitives)) as store,
        ):
            base = store.base_read()
            if base is None:
                raise ValueError(f"release: {work.primitives.parent.name} keeps no answer of its base; build it again")
            return _answers(self._lm(store=store, fingerprint="bench", draft_from=[base]), work)

    def suite(self, work: Workload) -> tuple[dict[str, list[float]], list[str]]:
        def mean(prompt: str, continuation: str) -> float:
            found = tokens.mean_token_logprob(lm.answered(prompt, continuation).logprobs)
            return float("nan") if found is None else found

        lm = self._lm()
        _likelihoods(lm, work)
        texts = _continuations(lm, work.prompts)
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
        from evaluator.model.engine.head import HEAD_ROWS  # noqa: PLC0415 - loads torch

        pace, trunk = self.under_test.pace, self.under_test.trunk
        decoding = {"said": pace.tokens, "guessed": pace.guessed, "accepted": pace.accepted}
        layout = {"useful_tokens": trunk.computed, "position_bytes": trunk.bytes_per_token()}
        return {**layout, "head_rows": trunk.head.rows, "head_block": HEAD_ROWS, **decoding}


class LmEval:
    """lm-eval's own `hf` model at one batch size."""

    def __init__(self, model: Any, tokenizer: Any, batch_size: str) -> None:
        from lm_eval.models.huggingface import HFLM  # noqa: PLC0415 - loads torch

        size = batch_size if batch_size == "auto" else int(batch_size)
        self.make: Callable[[], Any] = lambda: HFLM(
            pretrained=model, tokenizer=tokenizer, batch_size=size, max_batch_size=64
        )

    def score(self, work: Workload) -> Scores:
        return _likelihoods(self.make(), work)

    def generate(self, work: Workload) -> list[str]:
        return _continuations(self.make(), work.prompts)

    def kept(self, work: KeptWork) -> list[str]:
        return _answers(self.make(), work)

    def suite(self, work: Workload) -> tuple[dict[str, list[float]], list[str]]:
        raise NotImplementedError("lm-eval has no unlearning suite")

    def counts(self) -> dict[str, int]:
        return {}


class VLLM:
    """lm-eval's own `vllm` model in fp32 on a card; the engine stays loaded, what it kept of prompts does not."""

    def __init__(self, base: Path) -> None:
        from lm_eval.models import vllm_causallms  # noqa: PLC0415 - loads torch

        self.lm: Any = vllm_causallms.VLLM(
            pretrained=str(base), dtype="float32", batch_size="auto", gpu_memory_utilization=VLLM_MEMORY
        )

    def _fresh(self) -> Any:
        self.lm.model.reset_prefix_cache()
        return self.lm

    def score(self, work: Workload) -> Scores:
        return _likelihoods(self._fresh(), work)

    def generate(self, work: Workload) -> list[str]:
        return _continuations(self._fresh(), work.prompts)

    def kept(self, work: KeptWork) -> list[str]:
        return _answers(self._fresh(), work)

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

    def kept(self, work: KeptWork) -> list[str]:
        raise NotImplementedError("this way answers its own items alone")

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
