"""What is published of the runs on one release: everything that an attacker is given of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluator.contract import MetricScore, ReleaseCard, Scorecard
from evaluator.trace import trace_read

#: The files of an entry, as the site offers them to everybody.
SCORECARD, RECEIPT, TRACE = "scorecard.json", "receipt.json", "trace_public.parquet"


@dataclass(frozen=True)
class Published:
    """One entry on one release: its scorecard and the rows of its public trace."""

    scorecard: Scorecard
    rows: tuple[Mapping[str, Any], ...]

    def score(self, key: str) -> MetricScore | None:
        """A column that has a value."""
        return next((s for s in self.scorecard.scores if s.key == key and s.value is not None), None)

    @property
    def verbatim(self) -> list[Mapping[str, Any]]:
        """The rows of the forget questions as they are, under no attack."""
        return [row for row in self.rows if row["kind"] == "verbatim" and not row["condition"]]


@dataclass(frozen=True)
class Publication:
    """A release's card, its entries by name, and every text that stands in the published files."""

    card: ReleaseCard
    entries: Mapping[str, Published]
    texts: tuple[str, ...]

    @classmethod
    def load(cls, folder: Path) -> Publication:
        """From a folder with `card.json`, and one folder an entry with the files that the site offers."""
        entries = {
            path.parent.name: Published(
                Scorecard.model_validate_json((path.parent / SCORECARD).read_text()),
                tuple(trace_read(path)),
            )
            for path in sorted(folder.glob(f"*/{TRACE}"))
        }
        card = ReleaseCard.model_validate_json((folder / "card.json").read_text())
        return cls(card, entries, tuple(_texts(folder, entries)))


def _texts(folder: Path, entries: Mapping[str, Published]) -> Iterator[str]:
    for path in sorted(folder.rglob("*.json")):
        yield path.read_text()
    for entry in entries.values():
        for row in entry.rows:
            yield from (value for value in row.values() if isinstance(value, str))
