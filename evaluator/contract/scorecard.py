"""The scorecard and the progress file: what the evaluator hands back to the site."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from evaluator.contract.failure import FailureCode
from evaluator.contract.fast import Fast, FastRefused

SCORECARD_VERSION = 1

#: The stages of one run, in order. `measuring` and `scoring` may be resumed, `unlearning` is sealed.
Stage = Literal["starting", "unlearning", "sealing", "measuring", "scoring", "done", "failed"]
STAGES: tuple[Stage, ...] = ("starting", "unlearning", "sealing", "measuring", "scoring", "done", "failed")


_OLD_UNITS = {"unlearn_wall_s": "s", "measure_wall_s": "s", "peak_mb": "MB", "artifact_mb": "MB"}


class MetricGroup(StrEnum):
    """What a column tells of; in the order in which pages show the groups."""

    OVERALL = "overall"
    FORGET = "forget"
    RETAIN = "retain"
    REFUSAL = "refusal"
    ERASURE = "erasure"
    ROBUSTNESS = "robustness"
    UTILITY = "utility"
    COST = "cost"

    @property
    def label(self) -> str:
        return {"forget": "Forgetting", "retain": "Locality"}.get(self.value, self.value.capitalize())


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MetricScore(_Model):
    """One metric of one run. `value` is None when it was not run: never zero, never first."""

    key: str  # "forgetting"
    version: str  # "forgetting@1"
    value: float | None
    low: float | None = None  # 95 % interval, bootstrap clustered by subject
    high: float | None = None
    n_items: int = 0
    n_subjects: int = 0


class MetricInfo(_Model):
    """What a column means; comes from the docstring of the metric."""

    key: str
    version: str
    label: str
    direction: Literal["up", "down"]
    group: MetricGroup
    unit: str = ""  # of the value: "s", "MB"; empty for shares and ratios
    help: str
    example: str = ""  # a prompt that it is measured with, where there is one
    headline: bool = False

    @model_validator(mode="before")
    @classmethod
    def _unit_of_old(cls, given: Any) -> Any:
        """Scorecards and boards from before evaluator 0.3 name no unit; they had these columns with one."""
        if isinstance(given, dict) and "unit" not in given:
            return given | {"unit": _OLD_UNITS.get(str(given.get("key")), "")}
        return given


class Scorecard(_Model):
    """`scorecard.json`. `metrics` describes every column, so that the site needs no list of its own."""

    schema_version: Literal[1] = 1
    run_id: str
    release: str
    evaluator: str  # version of the evaluator: half of the board key
    seed: int
    division: Literal["weights", "system"]
    #: Declared, or found by a search of the sealed artifact.
    stores_forget_text: bool
    #: Found though the method declared that there is none.
    declared_falsely: bool = False
    #: Of a fast run, what it spared; left out of all others, which keep their bytes.
    fast: Fast | None = Field(default=None, exclude_if=lambda value: value is None)
    metrics: tuple[MetricInfo, ...]
    scores: tuple[MetricScore, ...]

    def whole(self) -> Scorecard:
        """Itself, where boards and receipts are made of it. Raises `FastRefused` for that of a fast run."""
        if self.fast is not None:
            raise FastRefused(
                f"scorecard.fast: run {self.run_id} is one for development ({self.fast.label}); "
                "do it again without --fast for scores that count"
            )
        return self


class Progress(_Model):
    """`progress.json`, replaced atomically while a run goes on; `failure` is set when it ended badly.

    `detail` may hold hidden data: the site shows it to organisers, and to the submitter on public splits.
    """

    run_id: str
    stage: Stage
    fraction: float = 0.0  # of this stage, in [0, 1]
    message: str = ""
    failure: FailureCode | None = None
    detail: str = ""
