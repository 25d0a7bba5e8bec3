"""A real site for the browser: web server and worker as processes of their own, on the toy world's data folder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

ROOT = Path(__file__).parents[2]
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no browser at {CHROMIUM}; install Debian's chromium or set CHROMIUM")
    # Debian's browser, since none may be downloaded; it runs as whoever runs the tests, which may be root.
    return browser_type_launch_args | {
        "executable_path": CHROMIUM,
        "args": ["--no-sandbox", "--disable-background-networking", "--disable-dev-shm-usage"],
    }


@dataclass(frozen=True)
class LiveSite:
    """Where the site answers, and the data folder and image that it works with."""

    url: str
    home: Path
    image: str


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"{url} does not answer\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="session")
def live_site(toy_home: Path, reference_image: str) -> Iterator[LiveSite]:
    """gunicorn, a Celery worker with beat, SQLite and podman, as `make demo` starts them."""
    environment = os.environ | {
        "PALIMPSEST_HOME": str(toy_home),
        "DJANGO_SETTINGS_MODULE": "leaderboard.config.settings.embedded",
        "EVALUATOR_BACKEND": "podman",
        "BOARD_RESAMPLES": "500",
        "UPLOAD_DISK_RESERVE_MB": "0",
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    for command in (["migrate", "-v0"], ["release_import"]):
        subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=environment, check=True)
    port = _free_port()
    worker = ["-A", "leaderboard.config", "worker", "-P", "threads", "-B", "-c", "2", "--without-gossip"]
    web = ["leaderboard.config.wsgi", "--bind", f"127.0.0.1:{port}", "--workers", "1", "--threads", "8"]
    programs = {
        "web": [sys.executable, "-m", "gunicorn", *web],
        "worker": [sys.executable, "-m", "celery", *worker, "--without-mingle"],
    }
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for name, command in programs.items():
            log = toy_home / f"{name}.log"
            with log.open("wb") as output:
                process = subprocess.Popen(
                    command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
                )
            processes.append(process)
        url = f"http://127.0.0.1:{port}"
        _wait_for(f"{url}/healthz", processes[0], toy_home / "web.log")
        yield LiveSite(url, toy_home, reference_image)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="session")
def base_url(live_site: LiveSite) -> str:
    return live_site.url


@pytest.fixture
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    return browser_context_args | {"viewport": {"width": 1280, "height": 900}, "accept_downloads": True}


@pytest.fixture
def page(page: Page) -> Iterator[Page]:
    """Fails a test on any script error or refusal by the content security policy."""
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: faults.append(line.text) if "Content Security Policy" in line.text else None)
    page.set_default_timeout(15_000)
    yield page
    assert faults == []


def manifest_text(method: str) -> str:
    """`method.toml` of a reference entry, as somebody who is no organiser may submit it."""
    text = (ROOT / "methods" / method / "method.toml").read_text().replace('kind = "control"', 'kind = "in-context"')
    tomllib.loads(text)
    return text


PASSWORD = "a-long-enough-phrase-7"


def register(page: Page, name: str) -> None:
    """A new account through the form; logged in afterwards."""
    page.goto("/accounts/signup/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password (again)").fill(PASSWORD)
    page.locator("main").get_by_role("button", name="Register").click()
    page.get_by_role("button", name="Log out").wait_for()


@dataclass(frozen=True)
class Scored:
    """What a submission through the browser left behind."""

    submission: str
    hidden_run: str
    public_run: str


@pytest.fixture(scope="session")
def scored(live_site: LiveSite, browser: Any) -> Scored:
    """One reference entry, registered, submitted and watched in the browser until both of its runs are scored."""
    context = browser.new_context(base_url=live_site.url, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(30_000)
    register(page, "ada")
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Submit").click()
    page.get_by_label("Manifest", exact=True).fill(manifest_text("constant_refusal"))
    page.get_by_label("Image reference").fill(live_site.image)
    page.get_by_label("hidden split", exact=False).check()
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url("**/submissions/*/")
    submission = page.url.rstrip("/").rsplit("/", 1)[-1]
    # No reload anywhere: the page itself asks every two seconds and stops when there is no more to come.
    page.locator("#submission-status[data-state=ACCEPTED]").wait_for(timeout=120_000)
    rows = page.locator("#submission-status tbody tr")
    rows.nth(1).wait_for()
    runs = {}
    for place in range(2):
        row = rows.nth(place)
        split = "public" if "-public" in (row.locator("a").nth(1).get_attribute("href") or "") else "hidden"
        runs[split] = row.locator("a.run-id").inner_text()
    for split in ("public", "hidden"):
        page.goto(f"/runs/{runs[split]}/")
        page.locator("#run-status[data-state=SCORED], #run-status .note-bad").first.wait_for(timeout=300_000)
        log = live_site.home / "worker.log"
        assert page.locator("#run-status[data-state=SCORED]").count(), page.inner_text("main") + log.read_text()[-3000:]
    context.close()
    return Scored(submission=submission, hidden_run=runs["hidden"], public_run=runs["public"])
