"""Retiring a hidden release, and rotating it: retired, opened, and replaced by a fresh one, in one act."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from django.conf import settings

from leaderboard.audit.services import audit_record, audited
from leaderboard.benchmarks.models import Release, ReleaseState
from leaderboard.benchmarks.services import release_import
from leaderboard.core.evaluator_process import evaluator_call
from leaderboard.core.problems import Conflict, problem_make
from leaderboard.runs import services as run_services
from leaderboard.runs.models import Run
from leaderboard.runs.states import FINAL
from leaderboard.traces.reissue import release_open

Say = Callable[[str], object]


class BuildFailed(RuntimeError):
    """The evaluator did not build the release that was to follow; the old one is as it was."""


def release_retire(*, release: Release, actor: str, reason: str) -> int:
    """Take no more runs on it, cancel what waits, and open every trace of it; how many were opened. There is no way
    back: what has been read stays read. Done again it opens what is left.

    Raises `Conflict` for a public split, and `ReissueFailed` when a trace does not open.
    """
    if not release.is_hidden:
        raise Conflict([problem_make("release", release.slug, "is public", "only hidden releases retire")])
    if release.state != ReleaseState.RETIRED:
        with audited():
            release.state = ReleaseState.RETIRED
            release.save(update_fields=["state"])
            after = {"state": release.state, "reason": reason}
            audit_record(actor=actor, action="release.retire", target=release, after=after)
            for run in Run.objects.filter(release=release).exclude(state__in=FINAL):
                run_services.run_stop(run=run, actor=actor, reason=f"The release {release.slug} has retired: {reason}")
    return release_open(release=release, actor=actor)


def release_rotate(*, release: Release, actor: str, reason: str, say: Say = lambda _: None) -> Release:
    """Build the next round of a hidden release, then retire and open the old one; returns the new release.

    The new one is built first, by an evaluator that leaves out every subject that any hidden release here has used: a
    pool that is too small is told before anything is opened. Raises `Conflict`, `BuildFailed`, `ReissueFailed`.
    """
    if not release.is_hidden:
        raise Conflict([problem_make("release", release.slug, "is public", "only hidden releases are rotated")])
    say(f"building round {release.round + 1} of {release.benchmark}, {release.size} requests")
    command = ["build", "--benchmark", release.benchmark, "--size", str(release.size), "--split", "hidden"]
    answer = evaluator_call([*command, "--round", str(release.round + 1)], wall_s=settings.BUILD_WALL_S)
    if answer.code != 0:
        raise BuildFailed(answer.stderr.strip()[-2000:] or f"build ended with {answer.code}")
    slug = json.loads(answer.stdout)["slug"]
    release_import(cards=Path(settings.PALIMPSEST_HOME) / "cards", actor=actor)
    fresh = Release.objects.get(slug=slug)
    audit_record(actor=actor, action="release.rotate", target=release, after={"by": fresh.slug, "reason": reason})
    say(f"retiring {release.slug}")
    opened = release_retire(release=release, actor=actor, reason=reason)
    say(f"{opened} traces of {release.slug} are open; {fresh.slug} takes its place")
    return fresh
