"""What isolation costs: a run in containers beside the same run as a process, and one container beside `podman run`."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evaluator.contract import TIMED_STAGES, Job, Limits, RunSeconds, manifest_parse
from evaluator.home import Home
from evaluator.performance.machine import processor
from evaluator.sandbox import ContainerSpec, PodmanSandbox
from evaluator.sandbox.images.oci_layout import ImageConfig
from evaluator.sandbox.images.reference_image import folder_image_build

Say = Callable[[str], None]

#: The wall's share of a run, at most.
TARGET_SHARE = 0.05
#: A control that does next to nothing, and a method that trains.
METHODS = ("refuse_everything", "graddiff")
RELEASE = "toy-world-5-public"
#: The stages of a run that are parts of the wall.
PARTS = ("inspect", "inputs", "container", "seal")
_CONTAINERS_A_ROUND = 5
_REPOSITORY = Path(__file__).resolve().parents[2]
_NOTHING = "print(1)\n"


@dataclass
class Ran:
    """One run: seconds of its parts, and of the whole process from start to end."""

    total_s: float
    parts: dict[str, float]

    @property
    def share(self) -> float:
        return sum(self.parts.values()) / self.total_s


@dataclass
class WallReport:
    """Seconds, one entry a round."""

    rounds: int
    plain_s: list[float] = field(default_factory=list)
    ours_s: list[float] = field(default_factory=list)
    runs: dict[tuple[str, str], list[Ran]] = field(default_factory=dict)

    def share(self, method: str) -> float:
        """The wall's share of a run in containers, median of the rounds."""
        return statistics.median(ran.share for ran in self.runs[method, "podman"])

    @property
    def passed(self) -> bool:
        return all(self.share(method) <= TARGET_SHARE for method in METHODS)

    def table(self) -> str:
        """The whole report in Markdown."""
        plain, ours = statistics.median(self.plain_s), statistics.median(self.ours_s)
        lines = [
            f"{processor()}; medians of {self.rounds} interleaved rounds; release {RELEASE}; seconds.",
            "",
            f"One container of an empty program, start to removal: `podman run --rm` {plain:.2f}, ours {ours:.2f}.",
            "",
            f"| method | backend | run | {' | '.join(TIMED_STAGES[name] for name in PARTS)} | wall's share |",
            f"|---|---|--:|{'--:|' * len(PARTS)}--:|",
        ]
        for (method, backend), found in self.runs.items():
            parts = " | ".join(f"{statistics.median(ran.parts[name] for ran in found):.3f}" for name in PARTS)
            share = "" if backend == "process" else f"{100 * self.share(method):.1f} %"
            total = statistics.median(ran.total_s for ran in found)
            lines.append(f"| {method} | {backend} | {total:.1f} | {parts} | {share} |")
        verdict = "holds" if self.passed else "MISSED"
        return "\n".join([*lines, "", f"Target: at most {100 * TARGET_SHARE:.0f} % of a run; {verdict}."])


def wall_bench(home: Home, *, rounds: int = 3, say: Say = print) -> WallReport:
    """Both backends in turn, forwards and backwards. Builds toy world and image in `home` when they are not there.

    Raises `ValueError` when this machine cannot run containers.
    """
    sandbox = PodmanSandbox(home.root)
    if missing := sandbox.check():
        raise ValueError(f"machine: {'; '.join(missing)}")
    if not (home.root / "cards" / f"{RELEASE}.json").is_file():
        say(f"building {RELEASE}")
        _evaluator(home, "build", "--benchmark", "toy-world", "--size", "5", "--split", "public")
    say("building the reference image, if it is not there")
    image = _evaluator(home, "image").split()[-1]
    report = WallReport(rounds)
    with tempfile.TemporaryDirectory(prefix="palimpsest-wall-") as name:
        folder = Path(name)
        _containers(sandbox, folder, report, rounds)
        for method in METHODS:  # once each for the caches of files and primitives, uncounted
            for backend in ("podman", "process"):
                _run(home, method, backend, image, folder / f"warm-{method}-{backend}")
        for number in range(rounds):
            order: Sequence[str] = ("process", "podman") if number % 2 == 0 else ("podman", "process")
            for method in METHODS:
                for backend in order:
                    ran = _run(home, method, backend, image, folder / f"{number}-{method}-{backend}")
                    report.runs.setdefault((method, backend), []).append(ran)
                    say(f"{method} {backend}: {ran.total_s:.1f} s, wall {100 * ran.share:.1f} %")
    return report


def _containers(sandbox: PodmanSandbox, folder: Path, report: WallReport, rounds: int) -> None:
    """The same empty program by `podman run` and by our backend, in turn."""
    program = folder / "program"
    program.mkdir()
    (program / "entry.py").write_text(_NOTHING)
    config = ImageConfig(
        entrypoint=("/usr/bin/python3", "/opt/palimpsest/program/entry.py"), env={"PATH": "/usr/bin:/bin"}
    )
    image = folder_image_build(sandbox.home, program, name="bench-nothing", config=config)
    spec = ContainerSpec(f"wall-{os.getpid()}", "unlearn", image, (), (), {}, Limits(wall_s=60), threads=1)
    for _ in range(_CONTAINERS_A_ROUND * rounds):
        began = time.monotonic()
        sandbox.engine.run("run", "--rm", "--network", "none", image.removeprefix("sha256:"))
        report.plain_s.append(time.monotonic() - began)
        began = time.monotonic()
        with sandbox.unlearn(spec, scratch=folder, log=folder / "nothing.log") as ended:
            if ended.failure is not None:
                raise ValueError(f"machine: an empty container failed: {ended.detail}")
        report.ours_s.append(time.monotonic() - began)


def _run(home: Home, method: str, backend: str, image: str, folder: Path) -> Ran:
    """One whole run as the site starts it: a process of its own. Raises `ValueError` when it is not scored."""
    manifest = manifest_parse(tomllib.loads((_REPOSITORY / "methods" / method / "method.toml").read_text()))
    job = Job.model_validate(
        {
            "run_id": f"wall-{os.getpid()}-{folder.name}".replace("_", "-"),
            "release": RELEASE,
            "image": image if backend == "podman" else str(_REPOSITORY / "methods"),
            "manifest": manifest,
            "threads": 2,
            "backend": backend,
            "work_dir": folder / "work",
            "out_dir": folder / "out",
        }
    )
    folder.mkdir()
    path = folder / "job.json"
    path.write_text(job.model_dump_json())
    began = time.monotonic()
    _evaluator(home, "run", str(path))
    total_s = time.monotonic() - began
    found = RunSeconds.model_validate_json((job.out_dir / "seconds.json").read_bytes())
    return Ran(total_s, {name: found.stages[name].wall_s for name in PARTS})


def _evaluator(home: Home, *arguments: str) -> str:
    environment = os.environ | {"PALIMPSEST_HOME": str(home.root), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "evaluator", *arguments],
        cwd=_REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ValueError(f"machine: `evaluator {arguments[0]}` ended with {done.returncode}: {done.stderr[-1500:]}")
    return done.stdout
