"""`palimpsest try --fast` says what it is wherever it prints, and what it leaves is uploaded nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluator.contract import Scorecard
from tests.evaluator.cli.palimpsest.command import ROOT, palimpsest

pytestmark = pytest.mark.torch
BASE = str(ROOT / "methods" / "base")


def left_by(home: Path) -> Path:
    """What the newest run in a data folder left: other tests try methods in it too."""
    found = max((home / "runs").glob("try-*/out"), key=lambda out: out.stat().st_mtime_ns)
    return found


def test_a_fast_try_is_labelled_and_cannot_be_uploaded(toy_home: Path) -> None:
    done = palimpsest("try", BASE, "--fast", "--release", "toy-world-5-public", "--backend", "process", home=toy_home)
    assert done.returncode == 0, done.stderr
    out = left_by(toy_home)
    fast = Scorecard.model_validate_json((out / "scorecard.json").read_text()).fast
    assert fast is not None
    said = " ".join(done.stderr.split())
    assert fast.label in done.stdout and "undefined: not run" in done.stdout
    assert fast.told() in said and "Trace and log, no receipt" in said
    site = ("--url", "http://127.0.0.1:9", "--token", "none")
    for given in (out, out / "scorecard.json", out / "trace.parquet"):
        refused = palimpsest("upload", str(given), *site, home=toy_home)
        told = " ".join(refused.stderr.split())
        assert refused.returncode == 1 and "is of a fast run" in told and "send the method's image" in told


def test_a_fast_try_of_a_hidden_release_is_refused_by_name(toy_home: Path) -> None:
    done = palimpsest("try", BASE, "--fast", "--release", "toy-world-5", "--backend", "process", home=toy_home)
    assert done.returncode == 2 and "'toy-world-5' is no public release" in " ".join(done.stderr.split())
