"""What has to be built before methods can be judged: base model, releases, image. Each is skipped when it is there."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.demo.plan import BASE, ROOT, DemoError, Plan, Release
from deploy.demo.processes import die_with_parent

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Step:
    """One program to run to its end, unless `done` says that its result is there already."""

    title: str
    command: tuple[str, ...]
    done: Callable[[], bool]


class Stopped(Exception):
    """The person at the terminal wants the demo to end."""


def base_step(plan: Plan) -> Step:
    return Step(
        f"base model {BASE}",
        (sys.executable, "-m", "evaluator", "base", "--name", BASE),
        (plan.home / "models" / BASE / "base.json").is_file,
    )


def release_step(plan: Plan, release: Release) -> Step:
    command = (sys.executable, "-m", "evaluator", "build", "--benchmark", release.benchmark)
    return Step(
        f"release {release.slug}",
        (*command, "--size", str(release.size), "--split", release.split, "--round", str(release.round)),
        (plan.home / "cards" / f"{release.slug}.json").is_file,
    )


def retire_step(release: Release) -> Step:
    """A release of an older version opens: what was published of its runs may have named its facts."""
    reason = "built by an older evaluator; another round takes its place"
    command = (sys.executable, "manage.py", "release_rotate", release.slug, "--retire-only", "--reason", reason)
    return Step(f"retiring {release.slug}", command, lambda: False)


def bake_step(plan: Plan, method: str) -> Step:
    """Some ten minutes, once for a base: what LTE and RECIPE learn apart from the requests then lies in the image."""
    command = (sys.executable, "-m", "evaluator", "bake", "--method", method, "--threads", str(plan.threads))
    return Step(f"training of {method}", command, lambda: any((plan.home / "baked").glob(f"{method}-*.safetensors")))


def image_step(plan: Plan) -> Step:
    # Never skipped from here: it knows by itself, in about a second, whether methods or packages have changed.
    return Step(
        "image of the reference methods",
        (sys.executable, "-m", "evaluator", "image", "--backend", plan.backend),
        lambda: False,
    )


def site_step() -> Step:
    return Step("the site's database", (sys.executable, "-m", "deploy.demo.people"), lambda: False)


def step_run(plan: Plan, step: Step, *, wait: Callable[[float], None], show: Callable[[str], None]) -> str:
    """Runs a step to its end and returns the last line of its standard output. Raises `DemoError` when it fails.

    `wait(seconds)` is called between looks and may raise `Stopped`; `show(text)` gets the newest line of the log.
    """
    if step.done():
        return ""
    plan.logs.mkdir(parents=True, exist_ok=True)
    log = plan.logs / "build.log"
    output = plan.logs / "build.out"
    started = time.monotonic()
    with log.open("ab") as errors, output.open("wb") as results:
        errors.write(f"\n== {step.title}: {' '.join(step.command)}\n".encode())
        errors.flush()
        process = subprocess.Popen(
            step.command,
            cwd=ROOT,
            # Programs then draw their progress though they write into a file; the newest line of it is shown.
            env=plan.environment() | {"TTY_COMPATIBLE": "1", "TTY_INTERACTIVE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=results,
            stderr=errors,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - the demo has one thread
        )
        try:
            while process.poll() is None:
                wait(0.25)
                show(f"{step.title}: {time.monotonic() - started:.0f} s  {_newest_line(log)}")
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode:
        tail = "\n".join(_ANSI.sub("", log.read_text(errors="replace")).rstrip().splitlines()[-12:])
        raise DemoError(
            f"{step.title} could not be prepared (exit status {process.returncode}):\n{tail}\nAll of it: {log}"
        )
    lines = output.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def _newest_line(log: Path) -> str:
    with log.open("rb") as handle:
        handle.seek(max(0, log.stat().st_size - 2000))
        text = handle.read().decode(errors="replace")
    # Progress bars redraw one line with carriage returns; only the last drawing counts.
    lines = [line for line in _ANSI.sub("", text).replace("\r", "\n").splitlines() if line.strip()]
    return "".join(char for char in lines[-1].strip() if char.isprintable())[:100] if lines else ""
