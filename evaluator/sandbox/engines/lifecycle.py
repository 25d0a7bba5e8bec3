"""One method's life in a container engine, whichever it is: unlearn, serve, sweep up after a crash."""

from __future__ import annotations

import hashlib
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from evaluator.contract import IMAGE_TAG, EvaluationFailed, FailureCode, Manifest
from evaluator.sandbox import flags
from evaluator.sandbox.admission import ImageRefused, image_judge
from evaluator.sandbox.cgroup import ROOT as CGROUPS
from evaluator.sandbox.cgroup import Meter
from evaluator.sandbox.engine_commands.base import ContainerEngine, EngineError, platform_failure
from evaluator.sandbox.engines.container import KILLED, Container
from evaluator.sandbox.health import health_wait
from evaluator.sandbox.images.registry import tag_resolve
from evaluator.sandbox.images.submitted import Images, Store, not_here
from evaluator.sandbox.mounts import owner_key, volumes_sweep
from evaluator.sandbox.output import Output, detail, log_path
from evaluator.sandbox.protocol import (
    ContainerExit,
    ContainerSpec,
    ImageReport,
    ProgressCallback,
    Server,
    ServerHandle,
    ignore_progress,
)

_SOCKET_KB, _SOCKET_FILES = 64, 8


class EngineSandbox:
    """See `protocol.Sandbox`. Containers of other data folders than the engine's stay untouched."""

    name: str
    isolation: str
    images: Images[Any]

    def __init__(self, engine: ContainerEngine, store: Store) -> None:
        self.engine = engine
        self.home = engine.home
        self.images = Images(engine, store)

    def check(self) -> list[str]:
        return self.engine.missing()

    def inspect(self, image: str, manifest: Manifest) -> ImageReport:
        """Raises `EvaluationFailed(image_unavailable)` when there is no such image here, in its registry or uploads."""
        try:
            if IMAGE_TAG.match(image):
                image = tag_resolve(self.engine, image)
            with self.images.held(image, manifest) as (engine, image_id):
                found: list[dict[str, Any]] = engine.json("image", "inspect", image_id.removeprefix("sha256:"))
        except ImageRefused as refusal:
            return ImageReport(ok=False, image=image, image_id="", problems=refusal.problems)
        except EngineError as error:
            if error.image_unknown():
                raise not_here(image) from None
            raise platform_failure("the image could not be looked at", error) from None
        report = replace(image_judge(found[0], manifest), image=image)
        if problems := self.engine.image_wrong(found[0]):
            report = replace(report, ok=False, problems=(*report.problems, *problems))
        return report

    def _container(self, spec: ContainerSpec, *, volume_name: str, size_kb: int, files: int) -> Container:
        """A container that is not started yet; its image is loaded again if this machine lost it."""
        try:
            with self.images.held(spec.image) as (engine, image_id):
                return Container.open(
                    engine,
                    spec,
                    image_id=image_id,
                    volume_name=volume_name,
                    size_kb=size_kb,
                    files=files,
                    lifetime_s=spec.limits.wall_s,
                )
        except ImageRefused as refusal:
            raise EvaluationFailed(FailureCode.IMAGE_REFUSED, str(refusal)) from None
        except EngineError as error:
            raise platform_failure("the image could not be looked up", error) from None

    @contextmanager
    def unlearn(
        self, spec: ContainerSpec, *, scratch: Path, log: Path, on_progress: ProgressCallback = ignore_progress
    ) -> Iterator[ContainerExit]:
        """`scratch` stays unused: what a container writes lies in memory, sized, and goes with the context."""
        limits = spec.limits
        container = self._container(spec, volume_name="out", size_kb=limits.out_mb * 1024, files=limits.out_files)
        try:
            output = Output(log_path(log), on_progress)
            began = time.monotonic()
            container.start()
            code = container.wait(output, limits.wall_s)
            failure = container.failure(code)
            if failure is not None and failure[0] is FailureCode.PLATFORM_ERROR:
                raise EvaluationFailed(*failure)
            yield ContainerExit(
                code=code,
                wall_s=container.wall_s(time.monotonic() - began),
                peak_mb=container.peak_mb(),
                failure=failure[0] if failure else None,
                detail=detail(failure[1] if failure else "exited with 0", output),
                out_dir=container.volume.path,
                # No limit was counted as reached, and inside its namespace nobody can SIGKILL the first process.
                killed_from_outside=code == KILLED and failure is not None and failure[0] is FailureCode.METHOD_ERROR,
            )
        finally:
            container.close()

    @contextmanager
    def serve(self, spec: ContainerSpec, *, scratch: Path, log: Path, ready_s: float = 120.0) -> Iterator[Server]:
        """`extra` of the handle tells, once the server has ended, `exit`, `failure` and `reason`."""
        container = self._container(spec, volume_name="sock", size_kb=_SOCKET_KB, files=_SOCKET_FILES)
        follower: threading.Thread | None = None
        try:
            output = Output(log_path(log), after="serve")
            socket = container.volume.path / "api.sock"

            def lost() -> str:
                if follower is not None and not container.running():
                    follower.join(5.0)  # what ended it is known a moment after its end
                ours = handle.extra.get("failure") == FailureCode.PLATFORM_ERROR
                return handle.extra["reason"] if ours else ""

            handle = ServerHandle(socket, is_alive=container.running, tail=output.tail, why_lost=lost)

            def follow() -> None:
                code = container.wait(output, spec.limits.wall_s)
                if not closing.is_set():
                    failure = container.failure(code)
                    handle.extra |= {
                        "exit": str(code),
                        "failure": (failure[0] if failure else FailureCode.SERVER_DIED).value,
                        "reason": failure[1] if failure else "exited with 0",
                    }

            closing = threading.Event()
            container.start()
            follower = threading.Thread(target=follow, name=f"server-{spec.run_id}", daemon=True)
            follower.start()
            if (problem := health_wait(socket, ready_s, alive=container.running)) is not None:
                if not container.running():
                    follower.join(10.0)
                    problem = f"the server {handle.extra.get('reason', 'ended')}"
                raise EvaluationFailed(_not_ready(handle.extra), detail(problem, output))
            yield handle
        finally:
            if follower is not None:
                closing.set()
                handle.extra["peak_mb"] = str(container.peak_mb() or "")
            container.close()
            if follower is not None:
                follower.join(30.0)

    def sweep(self, run_id: str | None = None) -> int:
        """None: whatever of this data folder is past its deadline, which no living evaluator waits for."""
        home_key = owner_key(self.home, "", "unlearn")
        labels = [f"{flags.LABEL_HOME}={home_key}"]
        if run_id is not None:
            labels.append(f"{flags.LABEL_RUN}={run_id}")
        now, removed = time.time(), 0
        for engine in self.images.engines():
            try:
                found = engine.containers(*labels)
            except EngineError as error:
                raise platform_failure("leftover containers could not be listed", error) from None
            old = [
                item["Id"]
                for item in found
                if run_id is not None or float(item["Config"]["Labels"][flags.LABEL_DEADLINE]) < now
            ]
            engine.remove(*old)
            removed += len(old)
        keys = None if run_id is None else {owner_key(self.home, run_id, role) for role in ("unlearn", "serve")}
        mounts = volumes_sweep(keys)
        for key in keys or ():
            for group in CGROUPS.glob(f"*/palimpsest/{key}-*"):
                Meter(f"/palimpsest/{group.name}").remove()
        return removed + mounts

    def describe(self) -> dict[str, str]:
        try:
            versions = self.engine.versions()
        except (EngineError, LookupError, TypeError) as error:
            raise platform_failure(f"{self.engine.program} does not describe itself", error) from None
        return {
            "backend": self.name,
            "isolation": self.isolation,
            **versions,
            "kernel": platform.release(),
            "image_store": self.images.store.kind(),
            "seccomp_sha256": hashlib.sha256(self.engine.profile().read_bytes()).hexdigest(),
        }


def _not_ready(ended: dict[str, str]) -> FailureCode:
    """Why a server never answered, from how its container ended, if it did."""
    failure = ended.get("failure", "")
    if failure in (FailureCode.START_FAILED, FailureCode.PLATFORM_ERROR):
        return FailureCode(failure)
    # Killed with no limit reached, which gives a server a second start: see `ContainerExit.killed_from_outside`.
    killed = failure == FailureCode.METHOD_ERROR and ended.get("exit") == str(KILLED)
    return FailureCode.SERVER_DIED if killed else FailureCode.SERVER_NOT_READY
