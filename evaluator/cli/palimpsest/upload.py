"""Sends an image archive in pieces; when it stops, the same command goes on where it was (tus 1.0.0)."""

from __future__ import annotations

import base64
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from evaluator.cli.palimpsest import screen
from evaluator.cli.palimpsest.config import config_load
from evaluator.cli.palimpsest.options import TokenOption, UrlOption, refusals
from evaluator.cli.palimpsest.site import Site, SiteRefused
from evaluator.contract import HEAD_BYTES, FastRefused, Scorecard, archive_fault

PIECE = 8 * 1024 * 1024  # small enough for any proxy's limits, large enough that the way there and back costs nothing
_WAITS_S = (0.5, 1, 2, 4, 8, 15, 30, 30)
_TUS = {"Tus-Resumable": "1.0.0"}


@dataclass(frozen=True)
class Archive:
    """A file that can be sent: its size in bytes and its SHA-256."""

    path: Path
    size: int
    sha256: str


def upload(
    file: Annotated[Path, typer.Argument(help="What `docker save` or `podman save --format oci-archive` wrote.")],
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Upload an image archive and print the reference to submit. Run it again to go on after a stop."""
    with refusals(), Site(config_load(url=url, token=token)) as site:
        print(archive_upload(site, file))


def archive_upload(site: Site, file: Path) -> str:
    """Send what the site does not have yet, wait until it is checked, and return `archive@sha256:…`.

    Raises `SiteRefused`, also for a file that is no archive.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=screen.err) as bar:
        archive = archive_read(file, bar)
        known = _known(site, archive)
        if known is None or known["state"] == "RECEIVING":
            ident = str(known["id"]) if known else _create(site, archive)
            _send(site, ident, archive, bar)
        else:
            ident = str(known["id"])
    return _wait(site, ident)


def archive_read(file: Path, bar: Progress) -> Archive:
    """Look at the file and hash it. Raises `SiteRefused` for one that cannot be read, is no tar, or a fast run left."""
    try:
        with file.open("rb") as handle:
            fault = archive_fault(handle.read(HEAD_BYTES))
            if fault is not None:
                _fast_refuse(file)
                raise _refused("archive", file, *fault)
            size, digest = file.stat().st_size, hashlib.sha256()
            task = bar.add_task(f"reading {file.name}", total=size)
            handle.seek(0)
            while block := handle.read(PIECE):
                digest.update(block)
                bar.update(task, advance=len(block))
            bar.remove_task(task)
    except OSError as error:
        _fast_refuse(file)
        raise _refused("archive", file, f"cannot be read: {error.strerror}", "give the file of `docker save`") from None
    return Archive(file, size, digest.hexdigest())


def _fast_refuse(path: Path) -> None:
    """Raise `SiteRefused` for what a fast run left: its folder, its scorecard, or a trace beside that."""
    if not path.is_dir() and path.suffix not in {".json", ".parquet"}:
        return
    try:
        card = (path if path.is_dir() else path.parent) / "scorecard.json"
        Scorecard.model_validate_json(card.read_bytes()).whole()
    except FastRefused as refused:
        remedy = "send the method's image; the site measures it itself"
        raise _refused("archive", path, f"is of a fast run: {refused}", remedy) from None
    except (OSError, ValueError):
        return


def _known(site: Site, archive: Archive) -> dict[str, Any] | None:
    """An upload of these very bytes that is done or can be gone on with."""
    for found in site.get("uploads/"):
        same = archive.sha256 in {found["sha256"], found["expected_sha256"]} and found["size"] == archive.size
        if same and found["state"] != "REFUSED":
            return dict(found)
    return None


def _create(site: Site, archive: Archive) -> str:
    values = {"filename": archive.path.name, "sha256": archive.sha256}
    metadata = ",".join(f"{key} {_base64(value.encode())}" for key, value in values.items())
    headers = _TUS | {"Upload-Length": str(archive.size), "Upload-Metadata": metadata}
    return site.send("POST", "uploads/", headers=headers)["location"].rstrip("/").rsplit("/", 1)[-1]


def _send(site: Site, ident: str, archive: Archive, bar: Progress) -> None:
    path = f"uploads/{ident}/"
    offset = _offset(site, path)
    task = bar.add_task(archive.path.name, total=archive.size, completed=offset)
    failures = 0
    with archive.path.open("rb") as handle:
        while offset < archive.size:
            try:
                handle.seek(offset)
                piece = handle.read(PIECE)
                offset = _piece_send(site, path, offset, piece)
                failures = 0
            except SiteRefused as refused:
                if failures == len(_WAITS_S) or not _passes(refused):
                    raise _stopped(refused, archive) from None
                time.sleep(_WAITS_S[failures])
                failures += 1
                offset = _offset_or(site, path, offset)
            bar.update(task, completed=offset)


def _piece_send(site: Site, path: str, offset: int, piece: bytes) -> int:
    headers = _TUS | {
        "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": str(offset),
        "Upload-Checksum": f"sha256 {_base64(hashlib.sha256(piece).digest())}",
    }
    return int(site.send("PATCH", path, headers=headers, content=piece)["upload-offset"])


def _passes(refused: SiteRefused) -> bool:
    """Whether it may go better next time: no connection, a busy site, a piece that arrived damaged or elsewhere."""
    return refused.status in {0, 409, 429, 460} or (refused.status >= 500 and refused.status != 507)


def _offset(site: Site, path: str) -> int:
    return int(site.send("HEAD", path, headers=_TUS)["upload-offset"])


def _offset_or(site: Site, path: str, otherwise: int) -> int:
    try:
        return _offset(site, path)
    except SiteRefused as refused:
        if not _passes(refused):
            raise
        return otherwise


def _stopped(refused: SiteRefused, archive: Archive) -> SiteRefused:
    if not _passes(refused):
        return refused
    again = "run the same command again: it goes on where it stopped"
    more = _refused("archive", archive.path, "was not sent to its end", again)
    return SiteRefused([*refused.problems, *more.problems], refused.status)


def _wait(site: Site, ident: str) -> str:
    """Until the site has hashed what arrived."""
    wait_s = 0.2
    with screen.err.status("the site checks the archive"):
        while True:
            found = site.get(f"uploads/{ident}/")
            if found["state"] == "COMPLETE":
                return str(found["image"])
            if found["state"] != "CHECKING":
                raise SiteRefused(found["problems"])
            time.sleep(wait_s)
            wait_s = min(2.0, wait_s * 1.5)


def _refused(field: str, value: object, problem: str, remedy: str) -> SiteRefused:
    return SiteRefused([{"field": field, "value": str(value), "problem": problem, "remedy": remedy}])


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
