"""The `palimpsest` command: begin a method, try it here, submit it, follow it, read traces and boards."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from evaluator.cli.palimpsest import screen
from evaluator.cli.palimpsest.cited import board_markdown
from evaluator.cli.palimpsest.config import Config, config_load, config_save
from evaluator.cli.palimpsest.new import new
from evaluator.cli.palimpsest.options import EXIT_REFUSED, TokenOption, UrlOption, refusals
from evaluator.cli.palimpsest.site import Site, SiteRefused
from evaluator.cli.palimpsest.try_out import try_out
from evaluator.cli.palimpsest.upload import archive_upload, upload
from evaluator.contract import IMAGE_REFERENCE, IMAGE_TAG, ManifestError, manifest_load

EXIT_NOT_SCORED = 3
_LOG_PART = 65_536 - 3  # bytes that the site sends of a long log at least; it cuts between characters
_FINAL_SUBMISSION = {"REFUSED", "WITHDRAWN"}
_FINAL_RUN = {"SCORED", "FAILED_METHOD", "FAILED_PLATFORM", "TIMED_OUT", "CANCELLED"}

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_show_locals=False)


@app.command()
def login(  # nosec B107 # asked for, never a default
    url: Annotated[str | None, typer.Argument(help="Address of the site.")] = None,
    username: Annotated[str, typer.Option(prompt=True)] = "",
    password: Annotated[str, typer.Option(prompt=True, hide_input=True, envvar="PALIMPSEST_PASSWORD")] = "",
) -> None:
    """Make a token and keep it in ~/.config/palimpsest/config.toml."""
    config = config_load(url=url)
    with refusals(), Site(Config(config.url, "")) as site:
        answer = site.post("auth/token/", {"username": username, "password": password})
    path = config_save(Config(config.url, answer["token"]))
    screen.out.print(f"signed in at {config.url} as {answer['username']}; the token is in {path}", soft_wrap=True)


@app.command()
def logout() -> None:
    """Delete the token, here and on the site."""
    config = config_load()
    if config.token:
        with refusals(), Site(config) as site:
            site.delete("auth/token/")
    config_save(Config(config.url, ""))


@app.command()
def submit(
    folder: Annotated[Path, typer.Argument(help="The method's folder, or its method.toml.")],
    release: Annotated[
        list[str], typer.Option("--release", "--benchmark", "-b", help="A benchmark release; may be repeated.")
    ],
    image: Annotated[
        str,
        typer.Option(help="`NAME@sha256:…`, `HOST/NAME:TAG`, `archive@sha256:…` or `sha256:…` (an image ID)."),
    ] = "",
    archive: Annotated[
        Path | None, typer.Option(help="Upload this file of `docker save` or `podman save`, and submit it.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=5, help="So many seeds, which the site chooses.")] = 1,
    seed: Annotated[list[int] | None, typer.Option(help="A seed itself (may be repeated): for organisers.")] = None,
    method: Annotated[str, typer.Option(help="Slug of a registered method; else the manifest's name decides.")] = "",
    tryout: Annotated[bool, typer.Option("--tryout/--no-tryout", help="Run on the public split first.")] = True,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it until every run has ended.")] = False,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Submit an image, by reference or as a file, with the manifest of a method folder."""
    body: dict[str, Any] = {
        "image": image,
        "manifest": _manifest(folder, image, archive),
        "releases": release,
        "tryout": tryout,
        "n_seeds": seeds,
    }
    if seed:
        body["seeds"] = seed
    if method:
        body["method"] = method
    with refusals(), Site(config_load(url=url, token=token)) as site:
        if archive is not None:
            for slug in release:
                site.get(f"benchmarks/{slug}/")  # a wrong name is told before gigabytes are sent
            body["image"] = archive_upload(site, archive)
        submission = site.post("submissions/", body)
        screen.submission_print(submission)
        if wait:
            _follow(site, submission["id"])


@app.command()
def status(
    ident: Annotated[str, typer.Argument(metavar="ID", help="Of a submission (s…) or of a run (r…).")],
    watch: Annotated[bool, typer.Option("--watch", help="Follow it until it has ended.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the API's answer.")] = False,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Show a submission or a run: state, place in the queue, scores, or why it failed and what to do."""
    with refusals(), Site(config_load(url=url, token=token)) as site:
        if watch:
            _follow(site, ident)
            return
        found = site.get(_path(ident))
        if as_json:
            print(json.dumps(found, indent=2))
        elif ident.startswith("r"):
            screen.run_print(found)
        else:
            screen.submission_print(found)


@app.command()
def log(
    run: Annotated[str, typer.Argument(help="A run's ID.")],
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Print what a run's container wrote: your own on an open split; organisers any, and each look is recorded."""
    with refusals(), Site(config_load(url=url, token=token)) as site:
        at, detail, seen = 0, "", False
        while True:
            part = site.get(f"runs/{run}/log/", offset=at)
            detail, seen = part["detail"] or detail, seen or bool(part["text"])
            screen.log_print(part["text"])
            at, before = part["offset"], at
            if at - before < _LOG_PART:
                break
        if detail:
            screen.log_print(f"\n--- why it failed ---\n{detail}\n")
        if not seen and not detail:
            problem = "shows you no log: it wrote nothing, or you may not read it"
            remedy = "a log is for the submitter of a run on an open split, and for organisers; sign in as one of them"
            raise SiteRefused([{"field": "run", "value": run, "problem": problem, "remedy": remedy}])


@app.command()
def traces(
    run: Annotated[str, typer.Argument(help="A run's ID.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write; .parquet or .jsonl.gz.")] = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Download a run's trace, one row a probe; of a hidden split without its texts."""
    target = out or Path(f"{run}.parquet")
    kind = "jsonl.gz" if target.name.endswith((".jsonl.gz", ".jsonl")) else "parquet"
    with refusals(), Site(config_load(url=url, token=token)) as site:
        found = site.get(f"runs/{run}/")
        if found["trace_redacted"] is None:
            problem = f"has no trace: it is {found['state']}"
            remedy = found["remedy"] or "wait until it is SCORED"
            raise SiteRefused([{"field": "run", "value": run, "problem": problem, "remedy": remedy}])
        bar = Progress(TextColumn("{task.description}"), BarColumn(), DownloadColumn(), console=screen.err)
        with bar:
            task = bar.add_task(target.name, total=None)
            digest = site.download(
                f"/runs/{run}/trace.{kind}",
                target,
                on_bytes=lambda done, total: bar.update(task, completed=done, total=total or None),
            )
        if kind == "parquet" and digest != found["trace_sha256"]:
            target.unlink()
            raise SiteRefused(
                [
                    {
                        "field": "trace",
                        "value": digest,
                        "problem": f"is not the file of this run ({found['trace_sha256']})",
                        "remedy": "download it again",
                    }
                ]
            )
    texts = "texts withheld" if found["trace_redacted"] else "in full"
    screen.out.print(f"{target}: {found['trace_rows']} probes, {texts}", soft_wrap=True)


@app.command()
def board(
    slug: Annotated[str, typer.Argument(help="A benchmark release.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the Board JSON.")] = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a Markdown table with intervals and receipt digests, to cite.")
    ] = False,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Show a board."""
    with refusals(), Site(config_load(url=url, token=token)) as site:
        found = site.get(f"boards/{slug}/")
        runs = [run for row in found["rows"] for run in row["runs"]] if as_markdown else []
        digests = {run: hashlib.sha256(site.file(f"/runs/{run}/receipt.json")).hexdigest() for run in runs}
    if as_json:
        print(json.dumps(found, indent=2))
    elif as_markdown:
        print(board_markdown(found, digests))
    else:
        screen.board_print(found)


def main() -> None:
    """The entry point of `palimpsest`."""
    app()


def _manifest(folder: Path, image: str, archive: Path | None) -> dict[str, Any]:
    """The manifest as JSON. Local faults are told before anything is sent."""
    path = folder / "method.toml" if folder.is_dir() else folder
    problems: list[dict[str, str]] = []
    manifest: dict[str, Any] = {}
    try:
        manifest = manifest_load(path).model_dump(mode="json")
    except ManifestError as error:
        problems += error.problems
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        remedy = "give the folder that has method.toml"
        problems.append({"field": "manifest", "value": str(path), "problem": problem, "remedy": remedy})
    problems += _image_problems(image, archive)
    if problems:
        screen.problems_print(problems)
        raise typer.Exit(EXIT_REFUSED)
    return manifest


def _image_problems(image: str, archive: Path | None) -> list[dict[str, str]]:
    if archive is not None:
        if not image:
            return []
        problem, remedy = "is given beside --archive", "give one of the two"
    elif not image:
        problem, remedy = "is missing", "give --image REFERENCE, or --archive FILE to upload it"
    elif IMAGE_REFERENCE.match(image) or IMAGE_TAG.match(image) or Path(image).is_absolute():
        return []
    else:
        problem = "is not a reference to an image"
        remedy = "give NAME@sha256:…, HOST/NAME:TAG with the registry's host, or --archive FILE of `docker save`"
    return [{"field": "image", "value": image, "problem": problem, "remedy": remedy}]


def _follow(site: Site, ident: str, *, every_s: float = 2.0) -> None:
    """Print every change until all runs have ended; exits with 3 unless all are scored."""
    seen: dict[str, str] = {}
    while True:
        found = site.get(_path(ident))
        runs = [found] if ident.startswith("r") else found["runs"]
        state = found["state"]
        if not ident.startswith("r") and seen.get(ident) != state:
            seen[ident] = state
            screen.out.print(f"[{screen.colour_of(state)}]{state}[/]")
            screen.problems_print(found["problems"])
        for run in runs:
            if seen.get(run["id"]) != run["state"]:
                seen[run["id"]] = run["state"]
                screen.run_line_print(run)
        ended = state in _FINAL_SUBMISSION or (runs and all(run["state"] in _FINAL_RUN for run in runs))
        if ended:
            break
        time.sleep(every_s)
    for run in runs:
        if run["state"] in _FINAL_RUN - {"CANCELLED"}:
            screen.run_print(site.get(f"runs/{run['id']}/"))
    if not runs or any(run["state"] != "SCORED" for run in runs):
        raise typer.Exit(EXIT_NOT_SCORED)


def _path(ident: str) -> str:
    return f"runs/{ident}/" if ident.startswith("r") else f"submissions/{ident}/"


app.command("new")(new)
app.command("try")(try_out)
app.command()(upload)

if __name__ == "__main__":
    main()
