"""What every chaos test does: submit a method that keeps the protocol, and look at how its run ended."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.site import Site
from tests.leaderboard.conftest import digest_make, manifest_make

#: The stages in which a worker holds a run, in their order.
STAGES = ("UNLEARNING", "MEASURING", "SCORING")


def submit(site: Site, *, number: int = 1, **hparams: Any) -> str:
    """One submission with one run on the hidden release; `hparams` say what the protocol's evaluator does."""
    manifest = manifest_make(name=f"Method {number}", hparams=hparams)
    return site.submit(image=digest_make(number), manifest=manifest, releases=["toy-world-5"], tryout=False)


def reach(site: Site, stage: str, *, within_s: float = 60) -> None:
    """Wait for a state, or a later one where a busy machine has let it go by."""
    later = ("LEASED", *STAGES, "SCORED")
    site.wait(lambda: site.state() in later[later.index(stage) :], within_s=within_s)


def ended_once(site: Site, *, within_s: float = 120, attempt: int | None = None, value: float | None = None) -> None:
    """Scored, every score once, one trace with one file, one snapshot with one row, nothing left behind."""
    site.wait(lambda: site.state() == "SCORED", within_s=within_s)
    assert site.events().count("SCORED") == 1
    run = site.run_now()
    scores = {row["key"]: row["value"] for row in site.rows("select key, value from runs_score")}
    assert len(scores) == len(site.rows("select id from runs_score")) > 0
    if value is not None:
        assert scores["overall"] == pytest.approx(value)
    if attempt is not None:
        assert run["attempt"] == attempt
    traces = site.rows("select path from traces_tracefile")
    assert len(traces) == 1
    site.wait(lambda: bool(site.rows("select id from boards_boardsnapshot")), within_s=60)
    site.wait(lambda: not site.processes(f"{site.home}/runs/{run['id']}"), within_s=15)
    site.wait(lambda: not (site.home / "runs" / run["id"] / "work").exists(), within_s=15)
    kept = [str(path.relative_to(site.home / "media")) for path in (site.home / "media").rglob("*.parquet")]
    assert kept == [traces[0]["path"]]
