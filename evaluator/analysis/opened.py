"""Opened boards: the runs behind a published table as files, so that anybody can make the table again or go on with it.

A folder holds `runs/NAME/` (what a ranking reads of the trace and what was answered, scorecard, receipt, manifest) and
`release.tar.xz`, the release itself with what it was drawn from. Whoever opens a hidden release gives it away: it must
be retired before.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from evaluator.analysis.rank import COLUMNS, RankEntry, RankRun, RankSpec, rank
from evaluator.contract import Job, Manifest, Receipt, Scorecard
from evaluator.contract.board import BoardPayload, BoardRow
from evaluator.home import Home, write_atomically
from evaluator.trace import trace_part

RUNS, RELEASE = "runs", "release.tar.xz"
#: Of a trace: what a ranking reads, and what the model said.
KEPT = (*COLUMNS, "response")
#: The manifest's name of the untouched base.
BASE_NAME = "Untouched base"
_MANIFEST, _SCORECARD, _RECEIPT, _TRACE = "manifest.json", "scorecard.json", "receipt.json", "trace.parquet"


def opened_add(run_dir: Path, folder: Path) -> str:
    """Put a finished run (`job.json` and `out/` under `run_dir`) into an opened board; the name that it has there.

    Raises `ValueError` for a run that has not ended well, or one of another release or evaluator than the others.
    """
    out = run_dir / "out"
    try:
        manifest = Job.model_validate_json((run_dir / "job.json").read_text()).manifest
        card = Scorecard.model_validate_json((out / _SCORECARD).read_text())
        receipt = (out / _RECEIPT).read_text()
    except FileNotFoundError as error:
        raise ValueError(f"run: {run_dir} has no {Path(error.filename).name}; give a run that was scored") from None
    name = re.sub(r"[^a-z0-9]+", "-", manifest.name.lower()).strip("-") or card.run_id
    for other, found in _cards(folder).items():
        if (found.release, found.evaluator) != (card.release, card.evaluator):
            raise ValueError(
                f"run: {run_dir} is of {card.release} by evaluator {card.evaluator}, {other} is of {found.release} "
                f"by {found.evaluator}; give another folder"
            )
    target = folder / RUNS / name
    temporary = target.with_name(f".{name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        trace_part(out / _TRACE, temporary / _TRACE, KEPT)
        write_atomically(temporary / _SCORECARD, (out / _SCORECARD).read_text())
        write_atomically(temporary / _RECEIPT, receipt)
        write_atomically(temporary / _MANIFEST, manifest.model_dump_json(indent=1) + "\n")
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return name


def release_pack(home: Home, slug: str, folder: Path) -> Path:
    """Put a release and what the site drew it from into an opened board. Raises `LookupError` without the release."""
    members = [home.release(slug), home.root / "cards" / f"{slug}.json", home.root / "secret"]
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / RELEASE
    temporary = target.with_name(f".{RELEASE}.{os.getpid()}")
    with tarfile.open(temporary, "w:xz") as archive:
        for member in members:
            archive.add(member, arcname=str(member.relative_to(home.root)))
    temporary.replace(target)
    return target


def release_unpack(folder: Path, home: Home) -> list[str]:
    """Put the release of an opened board into a data folder, to judge more entries on it; the files that it has now.

    Raises `FileExistsError` where the folder has drawn its own secret already: it would lose its hidden releases.
    """
    if (home.root / "secret").exists():
        raise FileExistsError(f"home: {home.root} has a secret of its own; name an empty folder in PALIMPSEST_HOME")
    home.root.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / RELEASE, "r:xz") as archive:
        archive.extractall(home.root, filter="data")
        return sorted(archive.getnames())


def opened_board(folder: Path, *, resamples: int = 10_000) -> BoardPayload:
    """The runs of an opened board, ranked as a site ranks them. Raises `ValueError` for a folder without runs."""
    cards = _cards(folder)
    if not cards:
        raise ValueError(f"folder: {folder} holds no {RUNS}/NAME/{_SCORECARD}; add runs first")
    manifests = {name: Manifest.model_validate_json((folder / RUNS / name / _MANIFEST).read_text()) for name in cards}
    receipts = {name: _receipt(folder, name) for name in cards}
    first = next(iter(cards.values()))
    spec = RankSpec(
        release=first.release,
        content_sha256=next(iter(receipts.values())).release_sha256,
        evaluator=first.evaluator,
        resamples=resamples,
        entries=[
            RankEntry(
                id=name,
                control=_control(manifests[name]),
                runs=[RankRun(trace=folder / RUNS / name / _TRACE, scorecard=folder / RUNS / name / _SCORECARD)],
            )
            for name in cards
        ],
    )
    found = rank(spec, Home(folder))
    rows = tuple(
        BoardRow(
            **dict(entry),
            method=manifests[entry.id].name,
            method_slug=entry.id,
            submission=entry.id,
            division=manifests[entry.id].division,
            kind=manifests[entry.id].kind,
            version=manifests[entry.id].version,
            runs=(cards[entry.id].run_id,),
            stores_forget_text=bool(cards[entry.id].stores_forget_text),
        )
        for entry in found.entries
    )
    return BoardPayload(
        board=first.release,
        release=first.release,
        evaluator=first.evaluator,
        generated_at=max(receipt.issued_at for receipt in receipts.values()),
        columns=found.columns,
        rows=rows,
        pairs=found.pairs,
        mde=found.mde,
    )


def opened_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each receipt, by run."""
    return {
        card.run_id: hashlib.sha256((folder / RUNS / name / _RECEIPT).read_bytes()).hexdigest()
        for name, card in _cards(folder).items()
    }


def kinds_markdown(board: BoardPayload, names: Sequence[str]) -> str:
    """What each kind of probe finds of some entries: a row a kind, the share that passes. Raises `ValueError` for a
    name that is not on the board.
    """
    rows = {row.method_slug: row for row in board.rows}
    if unknown := [name for name in names if name not in rows]:
        raise ValueError(f"entries: {unknown[0]!r} is not on the board; those that are: {', '.join(sorted(rows))}")
    chosen = [rows[name] for name in names]
    lines = [
        "| kind | of | " + " | ".join(row.method for row in chosen) + " |",
        "|---|---|" + "--:|" * len(chosen),
    ]
    for column in board.columns:
        if column.headline or column.group.value not in {"forget", "robustness", "retain"} or column.direction != "up":
            continue
        scores = [row.scores.get(column.key) for row in chosen]
        if all(score is None or score.value is None for score in scores):
            continue
        cells = ["–" if score is None or score.value is None else f"{score.value:.2f}" for score in scores]
        lines.append(f"| {column.label} | {column.group.label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _control(manifest: Manifest) -> Literal["base", "other"] | None:
    if manifest.kind != "control":
        return None
    return "base" if manifest.name == BASE_NAME else "other"


def _cards(folder: Path) -> dict[str, Scorecard]:
    found = sorted(folder.glob(f"{RUNS}/[!.]*/{_SCORECARD}"))
    return {path.parent.name: Scorecard.model_validate_json(path.read_text()) for path in found}


def _receipt(folder: Path, name: str) -> Receipt:
    return Receipt.model_validate_json((folder / RUNS / name / _RECEIPT).read_text())
