"""What a scored run shows, changed afterwards: opened when its release retires, or withheld as the rules are now.

Either way the receipt is issued anew, for it says what is shown: same run, same image, another hash. A fast run has
none, and is refused (`FastRefused`).
"""

from __future__ import annotations

import datetime
import hashlib
from pathlib import Path

from evaluator.benchmark.secret import release_sealing
from evaluator.contract import Receipt, Scorecard
from evaluator.contract.disclosure import issued_at_format, number_shown
from evaluator.home import Home, write_atomically
from evaluator.receipt import receipt_sign, signing_key
from evaluator.trace import is_withheld, trace_read, trace_redact, trace_seal, trace_unseal, trace_write


def run_open(home: Home, *, sealed: Path, scorecard: Path, receipt: Path, out_dir: Path) -> None:
    """Write `trace.parquet`, complete, and `receipt.json` of a run from its sealed trace.

    Raises `LookupError` when the release is not built here, and `SealBroken` for a file that does not open.
    """
    card = Scorecard.model_validate_json(scorecard.read_text()).whole()
    release, key = release_sealing(home, card.release)
    rows = trace_unseal(sealed, key, run_id=card.run_id, content_sha256=release.content_sha256)
    out_dir.mkdir(parents=True, exist_ok=True)
    trace_write(out_dir / "trace.parquet", rows)
    old = Receipt.model_validate_json(receipt.read_text())
    _receipt_write(home, old, out_dir, shown=out_dir / "trace.parquet", scorecard_sha256=old.scorecard_sha256)


def run_withhold(home: Home, *, trace: Path, scorecard: Path, receipt: Path, out_dir: Path) -> None:
    """Write `trace.sealed`, `trace_public.parquet`, `scorecard.json` and `receipt.json` of a hidden run that was scored
    by an older evaluator, with no more in them than is shown now.

    `trace`: the complete one, or the one that was shown so far. Raises `LookupError` when the release is not built
    here, and `ValueError` for one that is not hidden, or a trace of which nothing is left to seal.
    """
    card = Scorecard.model_validate_json(scorecard.read_text()).whole()
    release, key = release_sealing(home, card.release)
    rows = trace_read(trace)
    if is_withheld(rows):
        raise ValueError(f"trace: {trace.name} holds outcomes alone; give the complete one, or the one shown before")
    groups = {info.key: info.group for info in card.metrics}
    scores = tuple(
        score.model_copy(
            update={end: number_shown(getattr(score, end), group=groups[score.key]) for end in ("value", "low", "high")}
        )
        for score in card.scores
    )
    out_dir.mkdir(parents=True, exist_ok=True)
    trace_seal(out_dir / "trace.sealed", rows, key, run_id=card.run_id, content_sha256=release.content_sha256)
    trace_write(out_dir / "trace_public.parquet", trace_redact(rows, key, run_id=card.run_id))
    shown = card.model_copy(update={"scores": scores}).model_dump_json(indent=2) + "\n"
    write_atomically(out_dir / "scorecard.json", shown)
    old = Receipt.model_validate_json(receipt.read_text())
    digest = hashlib.sha256(shown.encode()).hexdigest()
    _receipt_write(home, old, out_dir, shown=out_dir / "trace_public.parquet", scorecard_sha256=digest)


def _receipt_write(home: Home, old: Receipt, out_dir: Path, *, shown: Path, scorecard_sha256: str) -> None:
    issued = datetime.datetime.now(datetime.UTC).strftime(issued_at_format(hidden=True))
    new = old.model_copy(
        update={
            "trace_sha256": hashlib.sha256(shown.read_bytes()).hexdigest(),
            "scorecard_sha256": scorecard_sha256,
            "issued_at": issued,
        }
    )
    write_atomically(out_dir / "receipt.json", receipt_sign(new, signing_key(home)).model_dump_json(indent=2) + "\n")
