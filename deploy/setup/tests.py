"""Runs the test suite in groups that share two cores well, and closes with one line that sums them up."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree  # nosec B405 # pytest's own report
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NO_TESTS_COLLECTED = 5  # pytest's own exit status


@dataclass(frozen=True)
class Group:
    """One call of pytest: which folders, which of their tests, and how."""

    name: str
    paths: tuple[str, ...]
    select: str
    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


#: `light` and `heavy` are set by tests/conftest.py, by directory. Only the light group runs in parallel: two torch
#: processes on two cores are slower than one after the other, and containers share one machine-wide store.
GROUPS = (
    Group("site", ("tests/leaderboard", "tests/house"), "light", ("-n", "2", "--dist", "loadfile")),
    Group("evaluator", ("tests", "--ignore=tests/browser"), "heavy and not slow"),
    Group("browser", ("tests/browser",), "browser and not slow", environment={"DJANGO_ALLOW_ASYNC_UNSAFE": "true"}),
)
SLOW = (
    Group("slow", ("tests", "--ignore=tests/browser"), "slow"),
    Group("slow browser", ("tests/browser",), "slow", environment={"DJANGO_ALLOW_ASYNC_UNSAFE": "true"}),
)


@dataclass(frozen=True)
class Outcome:
    """Counts of one group, and whether pytest itself came to a proper end."""

    passed: int
    failed: int
    skipped: int
    broken: bool


def group_run(group: Group, *, extra: list[str]) -> Outcome:
    """Runs one group and reads its counts from the report. Prints pytest's own output as it comes."""
    paths = [path for path in group.paths if path.startswith("-") or (ROOT / path).is_dir()]
    if not any(not path.startswith("-") for path in paths):
        return Outcome(0, 0, 0, broken=False)
    with tempfile.TemporaryDirectory(prefix="palimpsest-tests-") as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", group.select, f"--junitxml={report}"]
        command += [*group.options, *paths, *extra]
        print(f"\n── {group.name}: {' '.join(command[1:])}", flush=True)
        started = time.monotonic()
        status = subprocess.run(command, cwd=ROOT, env=os.environ | group.environment, check=False).returncode
        print(f"── {group.name}: {time.monotonic() - started:.0f} s", flush=True)
        if status == NO_TESTS_COLLECTED:
            return Outcome(0, 0, 0, broken=False)
        return _report_read(report, broken=status not in (0, 1))


def _report_read(report: Path, *, broken: bool) -> Outcome:
    if not report.exists():
        return Outcome(0, 1, 0, broken=True)
    total = failed = skipped = 0
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):  # noqa: S314 - as above  # nosec B314
        total += int(suite.get("tests", 0))
        failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped += int(suite.get("skipped", 0))
    return Outcome(max(total - failed - skipped, 0), failed, skipped, broken)


def main() -> int:
    """Exit status 0 if something ran and nothing failed, else 1."""
    parser = argparse.ArgumentParser(prog="python -m deploy.setup.tests", description=__doc__)
    parser.add_argument("--slow", action="store_true", help="run the slow tests instead of the others")
    parser.add_argument("--only", help="run one group", choices=[group.name for group in (*GROUPS, *SLOW)])
    arguments, extra = parser.parse_known_args()

    os.environ.setdefault("OMP_NUM_THREADS", str(min(2, os.cpu_count() or 1)))
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Tests make their own data; what the demo left in PALIMPSEST_HOME is none of their business.
    os.environ.pop("PALIMPSEST_HOME", None)

    groups = [group for group in (SLOW if arguments.slow else GROUPS) if arguments.only in (None, group.name)]
    outcomes = [group_run(group, extra=extra) for group in groups]
    passed, failed, skipped = (sum(getattr(o, key) for o in outcomes) for key in ("passed", "failed", "skipped"))
    broken = any(outcome.broken for outcome in outcomes)
    print()
    if broken and not failed:
        failed = 1
    if passed + failed == 0:
        print("no test ran: is this a complete checkout?")
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if failed or broken or passed + failed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
