"""Where the seconds of a run went, stage by stage: `seconds.json`, beside the scorecard and never part of it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

#: What is timed, as pages name it, in the order in which a run comes to it.
TIMED_STAGES = {
    "inspect": "Image checks",
    "inputs": "Inputs written",
    "container": "Container around the method",
    "unlearn": "Unlearning, the method's own",
    "seal": "Sealing",
    "load": "Libraries and models loaded, servers started",
    "measure": "Prompts, tokens and values of probes",
    "generate": "Generation",
    "logprobs": "Log-probabilities",
    "attack": "Attacks on weights",
    "base": "Base values",
    "results": "Scores, trace and receipt",
    "other": "Other",
}
TimedStage = Literal[
    "inspect",
    "inputs",
    "container",
    "unlearn",
    "seal",
    "load",
    "measure",
    "generate",
    "logprobs",
    "attack",
    "base",
    "results",
    "other",
]
#: The stages in which every probe is answered.
MEASURING: tuple[TimedStage, ...] = ("load", "measure", "generate", "logprobs", "attack", "base")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Seconds(_Model):
    """Seconds by the clock on the wall, and of processor time of the evaluator's own process, all threads together."""

    wall_s: float = 0.0
    cpu_s: float = 0.0

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(wall_s=self.wall_s + other.wall_s, cpu_s=self.cpu_s + other.cpu_s)

    def __sub__(self, other: Seconds) -> Seconds:
        return Seconds(wall_s=self.wall_s - other.wall_s, cpu_s=self.cpu_s - other.cpu_s)


class Decoded(_Model):
    """How greedy decoding of weights went: `passes` through the model, `tokens` said, tokens `guessed` ahead by drafts,
    and of these the `accepted`, which were the model's own choice.
    """

    passes: int = 0
    tokens: int = 0
    guessed: int = 0
    accepted: int = 0

    def __add__(self, other: Decoded) -> Decoded:
        return Decoded(**{name: getattr(self, name) + getattr(other, name) for name in Decoded.model_fields})

    @property
    def accepted_a_pass(self) -> float:
        return self.accepted / self.passes if self.passes else 0.0


class RunSeconds(_Model):
    """`seconds.json` of one run. Every second counts for one stage, so that `stages` add up to the `whole`.

    `lives`: how many processes worked at it, one after the other; their seconds are added up. Of a process that was
    killed, what went by after its last note is missing.
    """

    schema_version: Literal[1] = 1
    run_id: str
    lives: int = 1
    whole: Seconds
    stages: dict[str, Seconds]
    decoded: Decoded = Decoded()
