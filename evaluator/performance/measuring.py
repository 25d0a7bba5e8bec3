"""Measuring one entry in a process of its own, as a run measures weights: seconds part by part, and peak memory."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluator.attacks import ModelAttack, SampledAttack, attack_get
from evaluator.contract import ReleaseCard
from evaluator.model.engine.primitives import PRIMITIVES, PrimitiveStore
from evaluator.performance.machine import peak_mb, peak_reset
from evaluator.performance.near import near_base
from evaluator.probes import PLAIN, UTILITY_KINDS, Probe, probes_load, probes_write

if TYPE_CHECKING:
    from evaluator.model.engine.lm import EvaluatorLM
    from evaluator.model.under_test import Scored

#: The parts of measuring that add up to the whole, in the order of the tables.
PARTS = ("loading", "generation", "scoring", "drawn answers", "attacked weights", "the rest")
#: Groups of probes besides the families of attacks.
QUESTIONS, UTILITY = "plain questions", "utility"


class Clock:
    """Wall and CPU seconds of named stretches; a second within two of them counts for the inner one."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = {}
        self._open: list[str] = []
        self._since = (0.0, 0.0)

    def _turn(self) -> None:
        now = (time.perf_counter(), time.process_time())
        if self._open:
            own = self.spent.setdefault(self._open[-1], [0.0, 0.0])
            own[0] += now[0] - self._since[0]
            own[1] += now[1] - self._since[1]
        self._since = now

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        self._turn()
        self._open.append(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def seconds(self, name: str) -> dict[str, float]:
        wall, cpu = self.spent.get(name, (0.0, 0.0))
        return {"wall_s": wall, "cpu_s": cpu}


class Timed:
    """A local model whose answers are timed by their kind (see `ModelUnderTest`, `Sampler`)."""

    def __init__(self, inner: Any, clock: Clock) -> None:
        self.inner, self.clock = inner, clock

    @property
    def max_tokens(self) -> int:
        return int(self.inner.max_tokens)

    def score(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[Scored]:
        with self.clock.of("scoring"):
            return list(self.inner.score(pairs))

    def generate(
        self, prompts: Sequence[list[int]], *, max_tokens: int, stop: Sequence[str], drafts: Sequence[str] = ()
    ) -> list[str]:
        with self.clock.of("generation"):
            return list(self.inner.generate(prompts, max_tokens=max_tokens, stop=stop, drafts=drafts))

    def sample(
        self, prompts: Sequence[list[int]], *, count: int, temperature: float, max_tokens: int
    ) -> list[list[str]]:
        with self.clock.of("drawn answers"):
            return list(self.inner.sample(prompts, count=count, temperature=temperature, max_tokens=max_tokens))


def groups_of(probes: Sequence[Probe]) -> dict[str, list[Probe]]:
    """The probes by what they ask: plain questions, utility, and of attacks the family, or the axis of one without."""
    found: dict[str, list[Probe]] = {}
    for probe in probes:
        if probe.kind in UTILITY_KINDS:
            name = UTILITY
        elif probe.condition == PLAIN:
            name = QUESTIONS
        else:
            attack = attack_get(probe.condition)
            name = attack.family or attack.axis
        found.setdefault(name, []).append(probe)
    return found


class Measuring:
    """One entry near the base on one release: weights, with the base's kept answers as drafts, as in a run."""

    def __init__(self, base: Path, release: Path) -> None:
        from evaluator.model.engine.lm import tokenizer_load  # noqa: PLC0415 - loads torch

        self.base, self.release = base, release
        self.card = ReleaseCard.model_validate_json((release / "card.json").read_text())
        self.probes = release / "probes.jsonl"
        self.tokenizer = tokenizer_load(base)

    def _model(self, attack: ModelAttack | None = None) -> tuple[Any, str]:
        """The weights and their fingerprint, after an attack where one is given."""
        from evaluator.model.local import LocalModel, model_load, weights_sha256  # noqa: PLC0415 - loads torch

        model = model_load(self.base)
        near_base(model)
        model = attack.applied(model) if attack else model
        return LocalModel(model, self.tokenizer), weights_sha256(model)

    @contextmanager
    def _lm(self, under_test: Any, fingerprint: str, folder: Path, *before: str) -> Iterator[EvaluatorLM]:
        """Drafts are what weights of these fingerprints said `before`, and then the base's answers."""
        from evaluator.model.engine.lm import EvaluatorLM  # noqa: PLC0415 - loads torch

        with closing(PrimitiveStore(folder / PRIMITIVES, shared=self.release / PRIMITIVES)) as store:
            base = store.base_read()
            drafts = [*before, *([base] if base else [])]
            yield EvaluatorLM(under_test, self.tokenizer, store=store, fingerprint=fingerprint, draft_from=drafts)

    def whole(self) -> dict[str, Any]:
        """The whole measure stage: all of it, its parts, which add up to that, and the most memory meanwhile."""
        from evaluator.tasks.measure import measure, measure_attacked, measure_sampled  # noqa: PLC0415 - loads torch

        attacks = [attack_get(name) for name in self.card.attacks]
        clock, rows = Clock(), 0
        peak_reset()
        with tempfile.TemporaryDirectory(prefix="palimpsest-growth-") as name, clock.of("the rest"):
            with clock.of("loading"):
                under_test, fingerprint = self._model()
            with self._lm(Timed(under_test, clock), fingerprint, Path(name)) as lm:
                rows += len(measure(lm, self.probes))
                for sampled in (attack for attack in attacks if isinstance(attack, SampledAttack)):
                    rows += len(measure_sampled(lm, self.probes, sampled))
            pace = under_test.pace
            del under_test, lm
            for attack in (attack for attack in attacks if isinstance(attack, ModelAttack)):
                with clock.of("attacked weights"):
                    attacked, mark = self._model(attack)
                    with self._lm(attacked, f"{mark}:{attack.name}", Path(name), fingerprint) as lm:
                        rows += len(measure_attacked(lm, self.probes, attack))
                    del attacked, lm
        parts = {part: clock.seconds(part) for part in PARTS}
        return {
            "rows": rows,
            "parts": parts,
            "whole": {unit: sum(part[unit] for part in parts.values()) for unit in ("wall_s", "cpu_s")},
            "peak_mb": peak_mb(),
            "said": pace.tokens,
            "guessed": pace.guessed,
            "accepted": pace.accepted,
        }

    def groups(self) -> dict[str, dict[str, float]]:
        """Each group of probes asked alone, with nothing kept from before: their number and seconds.

        A second turn needs the answer to the first: that is asked before, and not timed.
        """
        from evaluator.tasks.measure import measure  # noqa: PLC0415 - loads torch

        under_test, fingerprint = self._model()
        probes = probes_load(self.probes)
        by_name = {probe.item_id: probe for probe in probes}
        found: dict[str, dict[str, float]] = {}
        for name, group in groups_of(probes).items():
            clock = Clock()
            first = {probe.follows: by_name[probe.follows] for probe in group if probe.follows}
            with (
                tempfile.TemporaryDirectory(prefix="palimpsest-growth-") as folder,
                self._lm(under_test, fingerprint, Path(folder)) as lm,
            ):
                asked, before = Path(folder) / "probes.jsonl", Path(folder) / "first.jsonl"
                probes_write(asked, {probe.item_id: probe for probe in (*first.values(), *group)}.values())
                if first:
                    probes_write(before, first.values())
                    measure(lm, before)
                with clock.of(name):
                    measure(lm, asked)
            found[name] = {"probes": len(group), **clock.seconds(name)}
        return found


def main(base: Path, release: Path, threads: int) -> None:
    """Print one JSON object: what `Measuring.whole` says, and `groups`."""
    import torch  # noqa: PLC0415 - loads torch

    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not mix with our line
    torch.set_num_threads(threads)
    measuring = Measuring(base, release)
    found = measuring.whole()
    found["groups"] = measuring.groups()
    found["own_cpu_s"] = time.process_time()
    print(json.dumps(found), file=channel, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
