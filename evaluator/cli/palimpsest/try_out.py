"""`palimpsest try FOLDER`: the same evaluation as on the site, on this machine, on a public split."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from evaluator.contract import (
    BACKEND_NAMES,
    TIMED_STAGES,
    EvaluationFailed,
    FailureCode,
    Job,
    Limits,
    Manifest,
    ManifestError,
    Progress,
    RunSeconds,
    Scorecard,
    manifest_load,
)
from evaluator.contract.folder import ROOT
from evaluator.home import Home, write_atomically
from evaluator.sandbox import engine_for
from evaluator.sandbox.engine_commands.base import EngineError
from evaluator.sandbox.images.reference_image import reference_image_build

if TYPE_CHECKING:
    from evaluator.sandbox.engine_commands.base import ContainerEngine

DEFAULT_RELEASE = "pretrained-facts-10-public"

#: The reference methods, where this is a checkout of the repository.
METHODS = ROOT / "methods"
_BASE_ARGUMENT = re.compile(r"^ARG\s+BASE\b", re.MULTILINE)


def _release_ready(home: Home, slug: str, console: Console) -> None:
    """Build a public release when it is not there; a hidden one can only be run where it lies."""
    try:
        home.release(slug)
        return
    except LookupError:
        pass
    benchmark, _, rest = slug.removesuffix("-public").rpartition("-")
    if not slug.endswith("-public") or not rest.isdigit():
        raise typer.BadParameter(f"release: {slug!r} is not built here and is no public release; try {DEFAULT_RELEASE}")
    console.print(f"Building {slug} (once) …")
    command = [
        sys.executable,
        "-m",
        "evaluator",
        "build",
        "--benchmark",
        benchmark,
        "--size",
        rest,
        "--split",
        "public",
    ]
    if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode != 0:
        raise typer.Exit(2)


def image_for(folder: Path, home: Home, backend: str, say: Console) -> str:
    """The image of a method folder: its own Containerfile, or the reference image for an entry of `methods/`.

    Raises `EvaluationFailed` or `typer.BadParameter` naming what is missing.
    """
    if backend == "process":
        return str(folder)

    try:
        engine = engine_for(backend, home.root)
    except ValueError as error:
        raise typer.BadParameter(f"{error}, or give --image NAME@sha256:…") from None
    if (folder / "Containerfile").is_file():
        return _image_build(folder, engine, say)
    for package in (folder, *folder.parents):
        if package.name == "methods" and (package / "__main__.py").is_file():
            return reference_image_build(
                home.root, package, progress=lambda text: say.print(f"  {text}"), engine=engine
            )
    raise typer.BadParameter(f"folder: {folder} has no Containerfile; write one, or give --image sha256:…")


def _image_build(folder: Path, engine: ContainerEngine, say: Console) -> str:
    """Build a Containerfile; where its `ARG BASE` cannot be fetched, on the reference image, which needs no registry.

    Raises `EvaluationFailed(image_unavailable)` with the end of what the build printed.
    """

    say.print(f"Building the image of {folder.name} …")
    try:
        try:
            return engine.image_build(folder)
        except EngineError as error:
            unreachable = any(words in error.output for words in ("initializing source", "short-name", "dial tcp"))
            if not unreachable or not _BASE_ARGUMENT.search((folder / "Containerfile").read_text()):
                raise
        say.print("  its base image cannot be fetched from here; building on the reference image of this machine")
        reference = reference_image_build(
            engine.home, METHODS, progress=lambda text: say.print(f"  {text}"), engine=engine
        )
        base = f"BASE={reference.removeprefix('sha256:')}"
        return engine.image_build(folder, "--network", "none", "--build-arg", base)
    except EngineError as error:
        raise EvaluationFailed(
            FailureCode.IMAGE_UNAVAILABLE, f"{folder / 'Containerfile'} does not build:\n{error.output[-2000:]}"
        ) from None


def _job(home: Home, *, manifest: Manifest, **given: Any) -> Job:
    run_id = f"try-{secrets.token_hex(5)}"
    folder = home.root / "runs" / run_id
    return Job.model_validate(
        {
            **given,
            "run_id": run_id,
            "manifest": manifest.model_dump(),
            "limits": Limits().model_dump(),
            "work_dir": folder / "work",
            "out_dir": folder / "out",
        }
    )


def _show(scorecard: Scorecard, console: Console) -> None:
    fast = scorecard.fast
    title = f"{scorecard.release}, evaluator {scorecard.evaluator}" + (f"\n{fast.label}" if fast else "")
    caption = "undefined: not run, or by more probes than the sample has" if fast else None
    table = Table("metric", "value", "95 % interval", title=title, caption=caption)
    labels = {info.key: f"{info.label} {'↑' if info.direction == 'up' else '↓'}" for info in scorecard.metrics}
    for score in scorecard.scores:
        absent = "undefined" if fast else "not run"
        value = absent if score.value is None else f"{score.value:.3f}"
        interval = "" if score.low is None or score.high is None else f"{score.low:.3f} – {score.high:.3f}"
        table.add_row(labels[score.key], value, interval)
    console.print(table)


def _show_seconds(found: RunSeconds, console: Console) -> None:
    table = Table(
        "stage",
        Column("seconds", justify="right"),
        Column("evaluator's CPU", justify="right"),
        title="Where the seconds went",
    )
    for stage, spent in found.stages.items():
        if spent.wall_s > 0:
            table.add_row(TIMED_STAGES.get(stage, stage), f"{spent.wall_s:.2f}", f"{spent.cpu_s:.2f}")
    table.add_section()
    table.add_row("The whole run", f"{found.whole.wall_s:.2f}", f"{found.whole.cpu_s:.2f}")
    console.print(table)
    if (decoded := found.decoded).passes:
        console.print(
            f"Greedy decoding: {decoded.tokens} tokens in {decoded.passes} passes; of {decoded.guessed} guessed ahead "
            f"{decoded.accepted} were right, {decoded.accepted_a_pass:.2f} a pass.",
            highlight=False,
        )


def try_out(
    folder: Annotated[Path, typer.Argument(help="a method folder with method.toml", exists=True, file_okay=False)],
    release: Annotated[str, typer.Option(help="a public release; built on first use")] = DEFAULT_RELEASE,
    image: Annotated[str, typer.Option(help="run this image (sha256:…) instead of the folder's own")] = "",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    threads: Annotated[int, typer.Option(min=1)] = 2,
    backend: Annotated[
        str,
        typer.Option(help=f"one of {', '.join(BACKEND_NAMES)}; process has no isolation, only for code that you trust"),
    ] = "podman",
    fast: Annotated[
        bool, typer.Option("--fast", help="a third of the probes, in bf16 where this machine has it; no board score")
    ] = False,
    json_out: Annotated[bool, typer.Option("--json", help="print the scorecard as JSON")] = False,
) -> None:
    """Run a method on a public split here, with full logs and traces: the site would print the same metrics."""
    home, console = Home.from_environment(), Console(stderr=True)
    os.environ["PALIMPSEST_HOME"] = str(home.root)
    try:
        manifest = manifest_load(folder / "method.toml")
    except OSError:
        raise typer.BadParameter(f"folder: {folder} has no method.toml; `palimpsest new` writes one") from None
    except ManifestError as error:
        for problem in error.problems:
            console.print(
                f"[red]method.toml[/] {problem['field']}: {problem['value']} {problem['problem']}; {problem['remedy']}",
                markup=True,
            )
        raise typer.Exit(2) from None
    if fast and not release.endswith("-public"):
        raise typer.BadParameter(f"release: {release!r} is no public release; --fast is for those: {DEFAULT_RELEASE}")
    _release_ready(home, release, console)
    try:
        chosen = image or image_for(folder.resolve(), home, backend, console)
    except EvaluationFailed as failure:
        console.print(f"error: {failure}", markup=False)
        raise typer.Exit(2) from None
    given = {"image": chosen, "release": release, "seed": seed, "backend": backend, "threads": threads, "fast": fast}
    job = _job(home, manifest=manifest, **given)
    path = home.root / "runs" / job.run_id / "job.json"
    write_atomically(path, job.model_dump_json())
    status = _follow(path, job, console)
    if status != 0:
        progress = Progress.model_validate_json((job.out_dir / "progress.json").read_text())
        console.print(f"{progress.failure}: {progress.detail}", markup=False)
        raise typer.Exit(status)
    scorecard = Scorecard.model_validate_json((job.out_dir / "scorecard.json").read_text())
    if json_out:
        typer.echo(scorecard.model_dump_json())
    else:
        _show(scorecard, Console())
    if scorecard.fast is not None:
        console.print(f"{scorecard.fast.label}. {scorecard.fast.told()}.", markup=False)
    _show_seconds(RunSeconds.model_validate_json((job.out_dir / "seconds.json").read_bytes()), console)
    left = "Trace and log, no receipt" if fast else "Trace, receipt and log"
    console.print(f"{left}: {job.out_dir}", markup=False)


def _follow(path: Path, job: Job, console: Console) -> int:
    """Run the job as the site does, in a process of its own, and say what it is at."""
    child = subprocess.Popen([sys.executable, "-m", "evaluator", "run", str(path)], stdout=subprocess.DEVNULL)
    with console.status("starting") as status:
        while True:
            try:
                return child.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                pass
            except KeyboardInterrupt:
                child.terminate()
                child.wait()
                raise typer.Exit(130) from None
            try:
                progress = Progress.model_validate_json((job.out_dir / "progress.json").read_text())
            except (OSError, ValueError):
                continue
            status.update(f"{progress.stage} {progress.fraction:.0%} {progress.message}")
