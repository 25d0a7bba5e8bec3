"""A board's rows and columns, once: what the ranking writes, what a snapshot holds, what pages, API and files show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from evaluator.contract.scorecard import MetricInfo

#: The fields of a row that stand before the scores in CSV and Parquet, in this order.
EXPORTED = ("rank", "rank_low", "rank_high", "method", "method_slug", "submission", "version", "division", "kind")


class _Read(BaseModel):
    """Frozen. What a newer evaluator has added is passed over: a published board is read for ever."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class BoardScore(_Read):
    """One metric of one row; None is "not run"."""

    value: float | None = None
    low: float | None = Field(None, description="Lower end of the 95 % interval.")
    high: float | None = Field(None, description="Upper end of the 95 % interval.")

    @property
    def has_interval(self) -> bool:
        return self.low is not None and self.high is not None


class PairedDifference(_Read):
    """The row minus another in the overall score; `p_holm` is corrected for all pairs of the board."""

    id: str = Field(description="The other row's submission.")
    value: float | None
    low: float | None
    high: float | None
    p: float | None = None
    p_holm: float | None


class PairedDifferences(_Read):
    base: PairedDifference | None = Field(None, description="To the untouched base, if it is on the board.")
    next: PairedDifference | None = Field(None, description="To the next row, if there is one.")


class SeedSpread(_Read):
    """Standard deviations of one run's overall score by source, over `n` seeds."""

    n: int
    between: float | None
    within: float | None
    residual: float | None


class Pairs(_Read):
    """Row i of each holds entry `ids[i]` minus each of those after it, in one metric."""

    ids: tuple[str, ...]
    low: tuple[tuple[float | None, ...], ...]
    high: tuple[tuple[float | None, ...], ...]
    p_holm: tuple[tuple[float | None, ...], ...]


class Placed(_Read):
    """What the ranking says of an entry. A new attribute of it is a field here and a line in `analysis/rank.py`."""

    rank: int | None = Field(
        None, description="Within its division. None for a control, and without an overall score. Ties share a rank."
    )
    rank_low: int | None = None
    rank_high: int | None = None
    tied_with: tuple[str, ...] = Field((), description="Submissions that it cannot be told apart from.")
    pareto: bool = Field(False, description="On its division's front of forgetting against locality.")
    knowledge_intact: bool = Field(
        False, description="Extraction strength and answer probability are the base's own: nothing was erased."
    )
    rank_without: Mapping[str, int] = Field(
        default_factory=dict, description="Rank by the overall score with one of its parts left out, by the part's key."
    )
    scores: Mapping[str, BoardScore] = Field(default_factory=dict, description="By the key of a column.")
    differences: PairedDifferences = PairedDifferences()
    seed_spread: SeedSpread | None = None


class RankedEntry(Placed):
    """An entry as `python -m evaluator rank` places it: it knows nothing of methods and people."""

    id: str


class Ranking(_Read):
    """What `python -m evaluator rank` writes."""

    columns: tuple[MetricInfo, ...] = ()
    entries: tuple[RankedEntry, ...] = ()
    pairs: Mapping[str, Pairs] = Field(default_factory=dict)
    mde: float | None = None


class BoardRow(Placed):
    """A placed entry with what the site knows of it. A new attribute of a submission is a field here, filled where
    `boards/services.py` makes rows.
    """

    method: str
    submission: str
    division: Literal["weights", "system"]
    kind: str
    method_slug: str
    version: str = ""
    paper: str = ""
    code: str = ""
    runs: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    stores_forget_text: bool = Field(False, description="Declared, or found in what it left.")
    declared_falsely: bool = Field(False, description="It stores texts of requests and declared that it does not.")
    tries: int = Field(
        0, description="Submissions of the same person that were scored here, withdrawn ones too; 0 for an organiser."
    )
    submitted_at: str = ""


class BoardPayload(_Read):
    """The Board JSON: a snapshot, served as it was published."""

    board: str
    release: str
    evaluator: str
    generated_at: str
    revision: int = 0
    title: str = ""
    split: str = ""
    release_version: str = ""
    columns: tuple[MetricInfo, ...]
    rows: tuple[BoardRow, ...]
    pairs: Mapping[str, Pairs] = Field(default_factory=dict, description="Paired differences by metric.")
    mde: float | None = Field(None, description="Minimum detectable difference in the overall score.")
