"""`make demo`: from an empty data folder to boards with eight entries, or with others, served until Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from types import FrameType

import httpx2

from deploy.demo import preflight
from deploy.demo.people import credentials_read
from deploy.demo.plan import ROOT, DemoError, Plan, Release, plan_read
from deploy.demo.processes import Service, Supervisor
from deploy.demo.screen import Row, Screen, fail
from deploy.demo.site import Entry, Site, entries_find
from deploy.demo.steps import (
    Step,
    Stopped,
    bake_step,
    base_step,
    image_step,
    release_step,
    retire_step,
    site_step,
    step_run,
)

SITE_UP_S = 60.0
INSPECTION_S = 60.0
POLL_S = 3.0  # each look costs the site a little of the two cores that a run needs
PUBLICATION_S = 60.0
WORTH_TELLING_S = 1.5

_PLAIN = """
*** DEMO_BACKEND=process: methods run as ordinary processes of this machine, WITHOUT ANY ISOLATION.  ***
*** They can read your files and use your network. Never submit a stranger's method to this site.     ***
"""


class Demo:
    """One demo from start to stop. Everything happens in one thread; `_wait` is its heartbeat."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.screen = Screen()
        self.site = Site(plan)
        self.supervisor = Supervisor(cwd=ROOT, environment=plan.environment(), say=self.screen.say)
        self.stop = threading.Event()
        self.started = time.monotonic()

    def run(self) -> None:
        """Everything in its order; the site is up before anything slow begins. Raises `DemoError`, `Stopped`."""
        if self.plan.backend == "process":
            print(_PLAIN, flush=True)
        self._step(site_step())
        self._serve()
        self._step(base_step(self.plan))
        image = self._image()
        self.site.log_in()
        for board in self.plan.boards:
            self._release(board)
            for earlier in board.earlier:
                self._step(retire_step(earlier))
            rows = self._submit(image, board.slug)
            self._follow(rows, board.slug)
            self._finish(rows, board.slug)
        for release in self.plan.extras:
            # Last, because two torch processes on two cores slow each other down to a crawl.
            try:
                self._release(release)
            except DemoError as error:  # the boards are complete: no reason to take the site down
                self.screen.rest()
                fail(str(error))
        self.screen.rest()
        while True:
            self._wait(1.0)

    def end(self) -> None:
        """Stops redrawing and takes every service down."""
        self.screen.rest()
        self.screen.say("stopping")
        self.supervisor.stop()
        self.site.close()

    def _wait(self, seconds: float) -> None:
        """Lets time pass, looks after the services, and raises `Stopped` once the demo is to end."""
        if self.stop.wait(seconds):
            raise Stopped
        self.supervisor.tick()

    def _step(self, step: Step) -> str:
        if step.done():
            return ""
        began = time.monotonic()
        result = step_run(self.plan, step, wait=self._wait, show=self.screen.status)
        if time.monotonic() - began > WORTH_TELLING_S:
            self.screen.say(f"{step.title}: ready in {time.monotonic() - began:.0f} s")
        return result

    def _release(self, release: Release) -> None:
        """Builds a release that is not there yet, and has the site take over its card."""
        step = release_step(self.plan, release)
        if not step.done():
            self._step(step)
            self._step(site_step())

    def _serve(self) -> None:
        python, logs, plan = sys.executable, self.plan.logs, self.plan
        worker = ["-A", "leaderboard.config", "worker", "-P", "threads", "-B", "-c", str(plan.workers), "-l", "info"]
        worker += ["--without-gossip", "--without-mingle"]
        web = [
            "leaderboard.config.wsgi",
            "--no-control-socket",
            "--bind",
            f"127.0.0.1:{plan.port}",
            "--workers",
            "1",
            "--threads",
            "8",
        ]
        self.supervisor.start(Service("web server", [python, "-m", "gunicorn", *web], logs / "web.log"))
        self.supervisor.start(Service("worker", [python, "-m", "celery", *worker], logs / "worker.log"))
        deadline = time.monotonic() + SITE_UP_S
        while not self.site.answers():
            if time.monotonic() > deadline:
                raise DemoError(f"the site did not answer within {SITE_UP_S:.0f} s; its log: {logs / 'web.log'}")
            self._wait(0.1)
        people = credentials_read(plan.credentials)
        self.screen.rest()
        self.screen.say(
            f"the site answers at {plan.address}/ ({time.monotonic() - self.started:.0f} s after the start)"
        )
        organiser = people["organiser"]
        self.screen.say(
            f"organiser: {organiser['username']} / {organiser['password']} (kept in {plan.credentials}); Ctrl-C stops"
        )

    def _image(self) -> str:
        """What all reference methods are submitted as: one image by its digest, or their folder without isolation."""
        if self.plan.backend == "process":
            return str(ROOT / "methods")
        for method in self.plan.baked:
            self._step(bake_step(self.plan, method))
        return self._step(image_step(self.plan))

    def _submit(self, image: str, board: str) -> list[tuple[Row, str]]:
        """Submits to a board what is not there yet, one after the other, so that they are judged in this order."""
        entries = entries_find(self.plan.methods)
        if not entries:
            raise DemoError(f"no methods/*/method.toml under {ROOT}: is this a complete checkout?")
        pairs: list[tuple[Row, str]] = []
        for entry in entries:
            row = Row(entry.name)
            pairs.append((row, self._submit_one(entry, image, board)))
            self._refresh(pairs, board)
            self.screen.rows([row for row, _ in pairs])
        return pairs

    def _submit_one(self, entry: Entry, image: str, board: str) -> str:
        ident = self.site.submit(entry, image=image, release=board)
        deadline = time.monotonic() + INSPECTION_S
        while time.monotonic() < deadline:
            if self.site.submission(ident)["state"] not in {"SUBMITTED", "INSPECTING"}:
                break
            self._wait(0.25)
        return ident

    def _follow(self, pairs: list[tuple[Row, str]], board: str) -> None:
        """Shows the runs until the last one has ended."""
        first_row = any(row.state == "SCORED" for row, _ in pairs)
        while True:
            try:
                self._refresh(pairs, board)
            except httpx2.HTTPError:
                pass  # the site is being restarted; the supervisor says so
            if not first_row and any(row.state == "SCORED" for row, _ in pairs):
                first_row = True
                self.screen.say(f"first scored row after {self._minutes()}: {self.plan.address}/boards/{board}/")
            self.screen.rows([row for row, _ in pairs])
            if all(row.final for row, _ in pairs):
                break
            done = sum(row.final for row, _ in pairs)
            self.screen.status(f"{done} of {len(pairs)} judged, {self._minutes()}; {self.plan.address}/  Ctrl-C stops")
            self._wait(POLL_S)
        self.screen.rest()

    def _refresh(self, pairs: list[tuple[Row, str]], board: str) -> None:
        now = time.monotonic()
        submissions, runs = self.site.submissions(), self.site.runs(board)
        for row, ident in pairs:
            changed = False
            if submissions[ident]["state"] == "REFUSED" and not row.final:
                problems = submissions[ident]["problems"]
                row.state, row.note, changed = "REFUSED", "; ".join(p["problem"] for p in problems)[:60], True
            elif ident in runs:
                changed = row.take(runs[ident], now)
            if changed and not self.screen.live:
                self.screen.say(f"{row.name}: {row.state.lower().replace('_', ' ')} {row.note}".rstrip())

    def _finish(self, pairs: list[tuple[Row, str]], board: str) -> None:
        """Waits until the board shows what was scored: it is published just after a run ends."""
        scored = sum(row.state == "SCORED" for row, _ in pairs)
        deadline = time.monotonic() + PUBLICATION_S
        while (shown := len(self.site.board_rows(board))) < scored and time.monotonic() < deadline:
            self._wait(1.0)
        where = f"{self.plan.address}/boards/{board}/"
        self.screen.say(f"{shown} of {len(pairs)} entries on the board after {self._minutes()}: {where}")

    def _minutes(self) -> str:
        seconds = int(time.monotonic() - self.started)
        return f"{seconds // 60} min {seconds % 60:02d} s"


def main() -> int:
    """Exit status 0 after Ctrl-C or SIGTERM, 1 when something is missing or failed."""
    try:
        plan = plan_read(os.environ)
        entries_find(plan.methods)
        preflight.backend_check(plan)
        lock = preflight.home_lock(plan.home)
        preflight.port_check(plan)
        preflight.disk_check(plan)
    except DemoError as error:
        fail(str(error))
        return 1
    os.environ.update(plan.environment())
    demo = Demo(plan)

    def on_signal(number: int, frame: FrameType | None) -> None:
        demo.stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    try:
        demo.run()
    except Stopped:
        return 0
    except (DemoError, httpx2.HTTPError, json.JSONDecodeError) as error:
        demo.screen.rest()
        fail(str(error))
        return 1
    finally:
        demo.end()
        lock.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
