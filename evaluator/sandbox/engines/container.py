"""The life of one container: create, prove its flags, start, follow, and always remove."""

from __future__ import annotations

import shlex
import subprocess
import time
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from evaluator.contract import EvaluationFailed, FailureCode
from evaluator.sandbox import flags
from evaluator.sandbox.cgroup import Meter
from evaluator.sandbox.engine_commands.base import ContainerEngine, EngineError, platform_failure
from evaluator.sandbox.mounts import Volume, mounts_check, mounts_stage, owner_key, volume_mount, volume_unmount
from evaluator.sandbox.output import Output, follow
from evaluator.sandbox.parent_watch import ParentWatch
from evaluator.sandbox.protocol import ContainerSpec

_MB = 1 << 20
#: Between our clock's start and the method's first instruction lies the engine's own work.
_START_GRACE_S = 1.0
#: What a removal by somebody else may take from the end of the program to that of its record.
_REMOVAL_S = 2.0
_ENGINE_CODES = frozenset({125, 126, 127})
#: What the engine says of a program that a SIGKILL ended. A program may exit with this number, too.
KILLED = 137
#: The engine's monitor leaves a file of this name in its working directory when the kernel ends a process of the
#: container for lack of memory.
_OOM_NOTE = "oom"


@dataclass
class Container:
    """One container with the volume it writes to. Use `open` and, whatever happens, `close`."""

    engine: ContainerEngine
    spec: ContainerSpec
    volume: Volume
    meter: Meter
    id: str = ""
    killed: bool = False
    _switch: ParentWatch | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @classmethod
    def open(
        cls,
        engine: ContainerEngine,
        spec: ContainerSpec,
        *,
        image_id: str,
        volume_name: str,
        size_kb: int,
        files: int,
        lifetime_s: int,
    ) -> Container:
        """Make volume and container, not yet started. Raises `EvaluationFailed(platform_error | image_unavailable)`."""
        mounts_check(spec.mounts)
        home_key = owner_key(engine.home, "", "unlearn")
        deadline = time.time() + lifetime_s + flags.BACKSTOP_S
        volume = volume_mount(
            owner_key(engine.home, spec.run_id, spec.role),
            volume_name,
            size_kb=size_kb,
            files=files,
            deadline=deadline,
            owner=engine.root_id(spec),
        )
        container = cls(engine, spec, volume, Meter(f"/palimpsest/{volume.path.parent.name}"))
        try:
            birth = flags.Birth(
                image_id=image_id,
                volume=flags.volume_as_mount(volume.path, spec),
                home_key=home_key,
                cgroup=container.meter.name,
                deadline=deadline,
                lifetime_s=lifetime_s + flags.BACKSTOP_S,
            )
            staged = replace(spec, mounts=mounts_stage(volume, spec.mounts))
            container.id = container._create(staged, birth)
            container._switch = ParentWatch(container._cleanup_commands(), engine.environment())
            container._prove()
        except BaseException:
            container.close()
            raise
        return container

    def _create(self, staged: ContainerSpec, birth: flags.Birth) -> str:
        try:
            arguments = self.engine.create_arguments(staged, birth)
            return self.engine.run(*arguments).stdout.strip()
        except EngineError as error:
            failure = error
        if "already in use" in failure.output:
            # Left by an attempt at this run that died: its name is ours. Another data folder's is not.
            name = flags.container_name(self.spec)
            left = self.engine.json("inspect", "--type", "container", name)
            if left and left[0]["Config"]["Labels"].get(flags.LABEL_HOME) == birth.home_key:
                self.engine.remove(left[0]["Id"])
                try:
                    return self.engine.run(*arguments).stdout.strip()
                except EngineError as error:
                    failure = error
        if failure.image_unknown():
            raise EvaluationFailed(FailureCode.IMAGE_UNAVAILABLE, f"{self.spec.image} is not on this machine")
        raise platform_failure("the container could not be created", failure)

    def _cleanup_commands(self) -> list[str]:
        """What `close` does, in shell: for when this process is no more."""
        folder = shlex.quote(str(self.volume.path.parent))
        groups = f"/sys/fs/cgroup/*{self.meter.name} /sys/fs/cgroup{self.meter.name}"
        return [
            shlex.join(self.engine.command(*self.engine.remove_arguments(self.id))),
            f'for place in {folder}/*/; do umount "$place" || umount -l "$place"; done',
            f"rm -f {folder}/{_OOM_NOTE}; rmdir {folder}/*/ {folder}",
            f'sleep 1; for group in {groups}; do rmdir "$group"/*/ "$group"; done',
        ]

    def report(self) -> dict[str, Any]:
        """The engine's `inspect` of this container."""
        return dict(self.engine.json("inspect", "--type", "container", self.id)[0])

    def _prove(self) -> None:
        if wrong := self.engine.flags_wrong(self.report(), self.spec):
            raise platform_failure("the engine dropped isolation flags", ValueError("; ".join(wrong)))

    def start(self) -> None:
        try:
            self._process = subprocess.Popen(
                self.engine.command(*self.engine.start_arguments(self.id)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self.engine.environment(),
                cwd=self.volume.path.parent,
            )
        except OSError as error:
            raise platform_failure("the engine could not be called", error) from None

    def wait(self, output: Output, wall_s: float) -> int:
        """Follow the output to the end; kill at `wall_s` seconds. The engine's exit code."""
        assert self._process is not None
        deadline = time.monotonic() + wall_s + _START_GRACE_S
        if not follow(self._process, output, tick=self.meter.sample, deadline=deadline, end=self.kill):
            self.killed = True
        return int(self._process.returncode)

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        self.killed = True
        if self.id:
            self.engine.remove(self.id)

    def peak_mb(self) -> float | None:
        peak = self.meter.program_peak_bytes()
        return None if peak is None else round(peak / _MB, 1)

    def wall_s(self, measured_s: float) -> float:
        """Seconds between the container's own start and end; `measured_s` where the engine cannot say."""
        try:
            state = self.report()["State"]
            began, ended = (_moment(state[name]) for name in ("StartedAt", "FinishedAt"))
        except (EngineError, LookupError, ValueError):
            return round(measured_s, 3)
        return round(max(0.0, ended - began), 3) if ended > began > 0 else round(measured_s, 3)

    def failure(self, code: int) -> tuple[FailureCode, str] | None:
        """Why it ended badly, by what was counted; None for exit 0. See the contract's list of codes."""
        limits = self.spec.limits
        if self.killed:
            return FailureCode.TIMEOUT, f"ran past {limits.wall_s} s and was killed"
        try:
            state = self.report()["State"]
        except EngineError as error:  # only the host can do that, and then the engine may even say 0
            return FailureCode.PLATFORM_ERROR, f"the container was removed from outside: {error}"
        if code == 0:
            return None
        if code in _ENGINE_CODES and (reason := _never_started(state)) is not None:
            return reason
        limit_bytes = limits.ram_mb * _MB
        reached = self.meter.memory_reached(limit_bytes) if code == KILLED else self.meter.memory_filled(limit_bytes)
        noted = (self.volume.path.parent / _OOM_NOTE).exists() or state.get("OOMKilled")  # podman's way, docker's way
        if reached or self.meter.memory_killed() or noted:
            return FailureCode.OUT_OF_MEMORY, f"was killed at its memory limit of {limits.ram_mb} MB"
        if self.spec.role == "unlearn" and (self.volume.full() or code == 153):
            room = f"{limits.out_mb} MB, {limits.out_files} files"
            return FailureCode.OUTPUT_TOO_LARGE, f"filled /out ({room}) and exited with {code}"
        if self.meter.processes_reached(pids := self.engine.pids_limit(limits)):
            return FailureCode.TOO_MANY_PROCESSES, f"reached its limit of {pids} processes, exited with {code}"
        if code == KILLED and self._vanishes():
            return FailureCode.PLATFORM_ERROR, "the container was removed from outside"
        return FailureCode.METHOD_ERROR, f"exited with {code}"

    def _vanishes(self) -> bool:
        """Whether somebody is just removing it: its end comes before that of its record, which may take two tries."""
        ends = time.monotonic() + _REMOVAL_S
        while time.monotonic() < ends:
            try:
                self.report()
            except EngineError:
                return True
            time.sleep(0.1)
        return False

    def close(self) -> None:
        """Remove container, volume and counters. Never raises for what is already gone."""
        try:
            if self.id:
                self.engine.remove(self.id)
        finally:
            if self._process is not None and self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            volume_unmount(self.volume.path)
            self.meter.remove()
            if self._switch is not None:
                self._switch.disarm()


def _never_started(state: dict[str, Any]) -> tuple[FailureCode, str] | None:
    """125 to 127 are the engine's codes, but a method may exit with them too: only the engine's state tells."""
    if _moment(state["StartedAt"]) > 0:
        return None
    reason = str(state.get("Error") or "the engine gave no reason; its message is the last output")
    return FailureCode.START_FAILED, f"did not start: {reason}"


def _moment(text: str) -> float:
    """Seconds since 1970 of the engine's nanosecond ISO times; its zero time, year 1, is 0."""
    if text.startswith("0001"):
        return 0.0
    head, _, tail = text.partition(".")
    digits = len(tail) - len(tail.lstrip("0123456789"))
    zone = (tail[digits:] if tail else head[19:]).replace("Z", "+00:00").split(" ")[0]
    return datetime.fromisoformat(head[:19].replace(" ", "T") + zone).timestamp() + float(f"0.{tail[:digits] or 0}")
