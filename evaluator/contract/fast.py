"""A fast run: half precision and a part of the probes, for development. Its scorecard says so; no board takes it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

#: What answered in a fast run; a server chooses its own.
Precision = Literal["bf16", "fp32", "server"]
#: Of the scored tokens of a gate, at most this share may change whether they are the first choice.
CHANGED_SHARE = 0.05


class FastRefused(ValueError):
    """A fast run was given where only a whole one counts."""


class HalfGate(BaseModel):
    """bf16 beside fp32 on the same weights and the same few probes.

    `worst`, `mean`: the |difference| of a token's log-probability in nats, None where one is no number; `changed`:
    scored tokens that are the first choice in one of the two alone; `texts_differ`: greedy continuations that do.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tolerance: float  # nats
    tokens: int = Field(ge=1)
    worst: float | None
    mean: float | None
    changed: int
    texts: int = 0
    texts_differ: int = 0

    @property
    def holds(self) -> bool:
        """Whether bf16 says what fp32 does: every token is within the tolerance, and no first choice changes."""
        return self.worst is not None and self.worst <= self.tolerance and not self.changed

    @property
    def near(self) -> bool:
        """Whether bf16 is near enough for development, where a part of the probes is asked: tokens are within the
        tolerance on average, and few first choices change. Texts do not decide: one near tie makes another text.
        """
        close = self.mean is not None and self.mean <= self.tolerance
        return close and self.changed <= CHANGED_SHARE * self.tokens

    def told(self) -> str:
        """The comparison and its verdict in one sentence."""
        gaps = "are no numbers"
        if self.worst is not None and self.mean is not None:
            gaps = f"differ by at most {self.worst:.2g} nats, {self.mean:.2g} on average"
        verdict = "too far apart: fp32 is used"
        if self.near:
            verdict = "as good as fp32 here" if self.holds else "near enough to develop with, not to compare close runs"
        return (
            f"bf16 against fp32: log-probabilities of {self.tokens} tokens {gaps}; {self.changed} first choices and "
            f"{self.texts_differ} of {self.texts} greedy texts differ; {verdict}"
        )


class Fast(BaseModel):
    """What a fast run spared. `reason`: why not bf16, where no gate was tried."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    precision: Precision
    probes: int = Field(ge=1)
    of: int = Field(ge=1)  # the release's
    reason: str = ""
    gate: HalfGate | None = None

    @property
    def label(self) -> str:
        """What stands wherever its scores do."""
        return f"FAST, no board score: {self.precision}, {self.probes} of {self.of} probes"

    def told(self) -> str:
        """How far its precision may be trusted, in one sentence."""
        return self.gate.told() if self.gate is not None else self.reason
