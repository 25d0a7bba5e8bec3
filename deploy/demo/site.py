"""The demo as a visitor of its own site: everything goes through the public API, as a submitter's would."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from deploy.demo.people import credentials_read, credentials_write
from deploy.demo.plan import ROOT, DemoError, Plan

METHODS = ROOT / "methods"


@dataclass(frozen=True)
class Entry:
    """One reference method: its folder and the manifest in it."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.manifest.get("name", self.folder.name))


def entries_find(names: Sequence[str] | None) -> list[Entry]:
    """The folders of `methods/` with these names, in this order; None: all that hold a manifest.

    Raises `DemoError` for a name that is none of them.
    """
    known = {path.parent.name: path.parent for path in sorted(METHODS.glob("*/method.toml"))}
    if unknown := [name for name in names or () if name not in known]:
        raise DemoError(f"DEMO_METHODS: {unknown[0]!r} is no method: use `all`, or some of {', '.join(known)}")
    folders = list(known.values()) if names is None else [known[name] for name in names]
    return [Entry(folder, tomllib.loads((folder / "method.toml").read_text())) for folder in folders]


class Site:
    """A client of the API. Connection faults come out as `httpx2.HTTPError`; refusals as `DemoError`."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        # The supervisor may be restarting the site just now: connecting is tried again for some seconds.
        transport = httpx2.HTTPTransport(retries=5)
        self._http = httpx2.Client(base_url=plan.address, timeout=30.0, trust_env=False, transport=transport)
        self._probe = httpx2.Client(base_url=plan.address, timeout=2.0, trust_env=False)

    def close(self) -> None:
        self._http.close()
        self._probe.close()

    def answers(self) -> bool:
        """Whether the site is up."""
        try:
            return self._probe.get("/healthz").status_code == httpx2.codes.OK
        except httpx2.HTTPError:
            return False

    def log_in(self) -> None:
        """Uses the saved token of the author, or makes one from the saved password."""
        credentials = credentials_read(self._plan.credentials)
        author = credentials.get("author", {})
        self._http.headers["Authorization"] = f"Token {author.get('token', '')}"
        if author.get("token") and self._http.get("/api/v1/submissions/").status_code == httpx2.codes.OK:
            return
        del self._http.headers["Authorization"]
        answer = self._http.post(
            "/api/v1/auth/token/", json={"username": author.get("username"), "password": author.get("password")}
        )
        _expect(answer, "logging in as the author of the reference methods")
        author["token"] = answer.json()["token"]
        credentials_write(self._plan.credentials, credentials | {"author": author})
        self._http.headers["Authorization"] = f"Token {author['token']}"

    def submit(self, entry: Entry, *, image: str, release: str) -> str:
        """The id of the submission of this entry: the one that is there already, or a new one."""
        known = self._find(entry, image, release)
        if known:
            return known
        body = {"image": image, "manifest": entry.manifest, "releases": [release], "tryout": False, "seeds": [0]}
        answer = self._http.post("/api/v1/submissions/", json=body)
        _expect(answer, f"submitting {entry.name}")
        return str(answer.json()["id"])

    def submission(self, ident: str) -> dict[str, Any]:
        return self._json(f"/api/v1/submissions/{ident}/")

    def submissions(self) -> dict[str, dict[str, Any]]:
        """Every submission by its id."""
        return {row["id"]: row for row in self._pages("/api/v1/submissions/?page_size=200")}

    def runs(self, release: str) -> dict[str, dict[str, Any]]:
        """The newest run of each submission on this release, by the submission's id."""
        rows = list(self._pages(f"/api/v1/runs/?release__slug={release}&page_size=200"))
        return {row["submission"]: row for row in reversed(rows)}

    def board_rows(self, slug: str) -> list[dict[str, Any]]:
        """The rows of a board; empty before its first snapshot."""
        answer = self._http.get(f"/api/v1/boards/{slug}/")
        return list(answer.json().get("rows", [])) if answer.status_code == httpx2.codes.OK else []

    def _find(self, entry: Entry, image: str, release: str) -> str | None:
        """A submission of this very image with this very manifest, whoever of us two made it."""
        for row in self.submissions().values():
            same = row["image"] == image and row["manifest"].get("name") == entry.manifest.get("name")
            alive = row["state"] not in {"REFUSED", "WITHDRAWN"}
            if same and alive and release in row["releases"] and _covers(row["manifest"], entry.manifest):
                return str(row["id"])
        return None

    def _pages(self, address: str | None) -> Iterator[dict[str, Any]]:
        while address:
            page = self._json(address)
            yield from page["results"]
            address = page.get("next")

    def _json(self, address: str) -> dict[str, Any]:
        answer = self._http.get(address)
        _expect(answer, f"reading {address}")
        found: dict[str, Any] = answer.json()
        return found


def _covers(stored: Any, given: Any) -> bool:
    """Whether the stored manifest, which has every default filled in, says all that the given one says."""
    if isinstance(given, dict):
        return isinstance(stored, dict) and all(_covers(stored.get(key), value) for key, value in given.items())
    return bool(stored == given)


def _expect(answer: httpx2.Response, doing: str) -> None:
    if answer.is_success:
        return
    try:
        problems = [f"{p['field']} = {p['value']}: {p['problem']}; {p['remedy']}" for p in answer.json()["errors"]]
    except (ValueError, KeyError, TypeError):
        problems = [answer.text[:500]]
    raise DemoError(f"{doing}: the site answered {answer.status_code}: " + " / ".join(problems))
