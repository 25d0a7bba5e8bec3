"""The backend without isolation: a method folder as an ordinary child process, for our own methods, tests and laptops.

It limits time, file sizes and data memory, but the process sees this machine's files and network. Never give it the
code of a stranger.
"""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evaluator.contract import EvaluationFailed, FailureCode, Limits, Manifest
from evaluator.sandbox.flags import container_environment
from evaluator.sandbox.health import health_wait
from evaluator.sandbox.images.reference_layers import folder_key
from evaluator.sandbox.output import DETAIL_BYTES, Output, detail, follow, log_path
from evaluator.sandbox.parent_watch import ParentWatch
from evaluator.sandbox.protocol import (
    ContainerExit,
    ContainerSpec,
    ImageReport,
    Mount,
    ProgressCallback,
    Server,
    ServerHandle,
    ignore_progress,
)

_MB = 1 << 20
#: Left of the caller's environment: enough to find programs and packages, no secrets.
_PASSED = ("PATH", "LANG", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "SYSTEMROOT")
_RUN, _DEADLINE = "PALIMPSEST_PROCESS_RUN", "PALIMPSEST_PROCESS_DEADLINE"
_NO_MEMORY = ("MemoryError", "not enough memory", "Cannot allocate memory", "std::bad_alloc")


class ProcessSandbox:
    """See `protocol.Sandbox`. `image` is a folder: inside `methods/`, or one with `entrypoint` or `entrypoint.py`."""

    name = "process"

    def __init__(self, home: Path) -> None:
        self.home = home

    def check(self) -> list[str]:
        return []

    def inspect(self, image: str, manifest: Manifest) -> ImageReport:
        command, folder = method_command(image)
        del command
        size_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        return ImageReport(
            ok=True,
            image_id=f"sha256:{folder_key(folder, '')}",
            image=image,
            size_bytes=size_bytes,
            user=str(os.geteuid()),
            architecture=platform.machine(),
        )

    @contextmanager
    def unlearn(
        self, spec: ContainerSpec, *, scratch: Path, log: Path, on_progress: ProgressCallback = ignore_progress
    ) -> Iterator[ContainerExit]:
        out = scratch / "out"
        with _view(spec, scratch) as places:
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir(parents=True)
            child = _Child(spec, {**places, "/out": out}, scratch)
            try:
                output = Output(log_path(log), on_progress)
                began = time.monotonic()
                code = child.wait(output)
                wall_s = time.monotonic() - began
                failure = _failure(child, code, output, out)
                reason = failure[1] if failure else "exited with 0"
                yield ContainerExit(
                    code=code,
                    wall_s=round(wall_s, 3),
                    peak_mb=child.peak_mb,
                    failure=failure[0] if failure else None,
                    detail=detail(reason, output),
                    out_dir=out,
                )
            finally:
                child.close()
                shutil.rmtree(out, ignore_errors=True)

    @contextmanager
    def serve(self, spec: ContainerSpec, *, scratch: Path, log: Path, ready_s: float = 120.0) -> Iterator[Server]:
        # The path of a unix socket may have at most 107 bytes, and `scratch` can lie deep.
        folder = Path(tempfile.mkdtemp(prefix="palimpsest-"))
        try:
            with _view(spec, scratch) as places:
                child = _Child(spec, {**places, "/run/palimpsest": folder}, scratch)
                output = Output(log_path(log), after="serve")
                follower = threading.Thread(target=child.wait, args=(output,), daemon=True)
                follower.start()
                try:
                    socket = folder / "api.sock"
                    if (problem := health_wait(socket, ready_s, alive=child.running)) is not None:
                        if not child.running():
                            problem = "the server ended before it was ready"
                        raise EvaluationFailed(
                            FailureCode.SERVER_NOT_READY,
                            f"{problem}\n--- last output ---\n{output.tail(DETAIL_BYTES)}",
                        )
                    yield ServerHandle(socket, is_alive=child.running, tail=output.tail)
                finally:
                    child.close()
                    follower.join(30.0)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self, run_id: str | None = None) -> int:
        """Kill processes of a run (or of all past their deadline) by the mark in their environment."""
        killed, own = 0, os.getpid()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                pairs = (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            marks = dict(line.decode(errors="replace").partition("=")[::2] for line in pairs)
            if _RUN not in marks or int(folder.name) == own:
                continue
            mine = marks[_RUN] == run_id if run_id is not None else float(marks.get(_DEADLINE) or 0) < time.time()
            if mine:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(folder.name), signal.SIGKILL)
                    killed += 1
        return killed

    def describe(self) -> dict[str, str]:
        return {
            "backend": self.name,
            "isolation": "none: an ordinary process of this machine",
            "engine": f"python {platform.python_version()}",
            "runtime": "fork",
            "kernel": platform.release(),
        }


def method_command(image: str) -> tuple[list[str], Path]:
    """The command that starts a method folder, and the folder whose content is the method.

    A folder named `methods` (or inside one) that is a package with `__main__.py` is started as
    `python -m methods`; any other must hold an executable `entrypoint`, or `entrypoint.py`.
    Raises `EvaluationFailed(image_unavailable)`.
    """
    folder = Path(image)
    if not folder.is_absolute() or not folder.is_dir():
        raise EvaluationFailed(
            FailureCode.IMAGE_UNAVAILABLE,
            f"{image} is not a folder: the process backend takes the absolute path of one",
        )
    for package in (folder, *folder.parents):
        if package.name == "methods" and (package / "__main__.py").is_file():
            return [sys.executable, "-m", "methods"], package
    program, script = folder / "entrypoint", folder / "entrypoint.py"
    if program.is_file() and os.access(program, os.X_OK):
        return [str(program)], folder
    if script.is_file():
        return [sys.executable, str(script)], folder
    raise EvaluationFailed(
        FailureCode.IMAGE_UNAVAILABLE,
        f"{image} holds no executable `entrypoint` and no `entrypoint.py`, and is not in a `methods` package",
    )


class _Child:
    """One process in a session of its own, with the limits that a plain process can have."""

    def __init__(self, spec: ContainerSpec, places: dict[str, Path], scratch: Path) -> None:
        self.limits = spec.limits
        self.killed = False
        self.peak_mb: float | None = None
        command, folder = method_command(spec.image)
        temporary = scratch / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
        environment |= {name: _placed(value, places) for name, value in container_environment(spec).items()}
        environment |= {
            "TMPDIR": str(temporary),
            "HOME": str(temporary),
            "HF_HUB_OFFLINE": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        environment |= {_RUN: spec.run_id, _DEADLINE: str(time.time() + spec.limits.wall_s), "PYTHONUNBUFFERED": "1"}
        try:
            self.process = subprocess.Popen(
                [*command, *spec.args],
                cwd=folder.parent if command[1:2] == ["-m"] else folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise EvaluationFailed(FailureCode.START_FAILED, f"{command[0]} did not start: {error}") from None
        _limit(self.process.pid, spec.limits)
        self.switch = ParentWatch(
            [f"kill -KILL -{self.process.pid}"], {"PATH": os.environ.get("PATH", "/usr/bin:/bin")}
        )

    def wait(self, output: Output) -> int:
        deadline = time.monotonic() + self.limits.wall_s
        self.killed = not follow(self.process, output, tick=self._sample, deadline=deadline, end=self.kill)
        return self.process.returncode

    def _sample(self) -> None:
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                self.peak_mb = max(self.peak_mb or 0.0, round(int(line.split()[1]) / 1024, 1))

    def running(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        self.kill()
        self.process.wait()
        self.switch.disarm()


def _limit(pid: int, limits: Limits) -> None:
    """Set after the start, from outside: a hook between fork and exec is unsafe in a process with threads."""
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: max(limits.out_mb, limits.tmp_mb) * _MB,
        resource.RLIMIT_DATA: limits.ram_mb * _MB,
    }
    if not hasattr(resource, "prlimit"):  # macOS
        return
    for kind, value in wanted.items():
        with contextlib.suppress(OSError, ValueError):
            resource.prlimit(pid, kind, (value, value))


def _failure(child: _Child, code: int, output: Output, out: Path) -> tuple[FailureCode, str] | None:
    limits = child.limits
    if child.killed:
        return FailureCode.TIMEOUT, f"ran past {limits.wall_s} s and was killed"
    sizes = [path.lstat().st_size for path in out.rglob("*")]
    # A write past the limit of file sizes stops exactly there, so a method that failed may have just reached it.
    room = limits.out_mb * _MB + (code == 0)
    if sum(sizes) >= room or len(sizes) > limits.out_files or code == -signal.SIGXFSZ:
        left = f"left {sum(sizes) >> 20} MB in {len(sizes)} files"
        return FailureCode.OUTPUT_TOO_LARGE, f"{left}; the limits are {limits.out_mb} MB and {limits.out_files} files"
    if code == 0:
        return None
    if any(mark in output.tail(DETAIL_BYTES) for mark in _NO_MEMORY):
        return (
            FailureCode.OUT_OF_MEMORY,
            f"could not get memory within its limit of {limits.ram_mb} MB and exited with {code}",
        )
    return FailureCode.METHOD_ERROR, f"exited with {code}"


def _placed(value: str, places: dict[str, Path]) -> str:
    """A container path as the path on this machine where the same files lie."""
    for target, source in sorted(places.items(), key=lambda item: -len(item[0])):
        if value == target or value.startswith(target + "/"):
            return str(source) + value[len(target) :]
    return value


@contextmanager
def _view(spec: ContainerSpec, scratch: Path) -> Iterator[dict[str, Path]]:
    """Container targets as real folders; a mount inside a mount becomes a folder of links."""
    view = scratch / "view"
    shutil.rmtree(view, ignore_errors=True)
    places: dict[str, Path] = {}
    try:
        for mount in sorted(spec.mounts, key=lambda item: item.target):
            inner = {
                other.target[len(mount.target) + 1 :]: other
                for other in spec.mounts
                if other.target.startswith(mount.target + "/")
            }
            places[mount.target] = _compose(view, mount, inner) if inner else mount.source
        yield places
    finally:
        shutil.rmtree(view, ignore_errors=True)


def _compose(view: Path, mount: Mount, inner: dict[str, Mount]) -> Path:
    folder = view / mount.target.strip("/")
    folder.mkdir(parents=True)
    for path in mount.source.iterdir():
        if path.name not in inner:
            (folder / path.name).symlink_to(path)
    for name, other in inner.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(other.source)
    return folder
