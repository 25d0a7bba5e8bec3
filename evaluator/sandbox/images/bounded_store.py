"""Where images of strangers lie: a store of podman's in a file of fixed size, so that none can fill the disk."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from evaluator.contract import EvaluationFailed, FailureCode
from evaluator.sandbox.admission import ImageRefused
from evaluator.sandbox.engine_commands.base import RUNC, EngineError, Runtime, platform_failure
from evaluator.sandbox.engine_commands.podman import PodmanEngine

logger = logging.getLogger(__name__)

#: Environment: how much disk the images of strangers may take up together, in MB.
STORE_MB = "PALIMPSEST_IMAGE_STORE_MB"
_DEFAULT_STORE_MB = 50_000
NAME = "localhost/palimpsest-upload"

#: Containers have user ids of their own, and must be able to walk to their root: a data folder may be closed to them.
MOUNTS = Path("/run/palimpsest-store")
#: Left free: for the engine's own records here, and on the disk that the file lies on.
_RESERVE = 64 << 20
_DISK_RESERVE = 1 << 30
_LOAD_S = 1800.0


def store_mb() -> int:
    text = os.environ.get(STORE_MB, "")
    return int(text) if text.isdigit() and int(text) else _DEFAULT_STORE_MB


class BoundedStore:
    """Images by a key of 64 hex digits: the hash of an uploaded file, or a registry's digest.

    The store is a file with ext4 in it, mounted when first needed, and again after a restart of the machine. It is a
    cache: whatever is in it can be had again, so a store that is damaged or was left in the middle of a change is made
    anew. Where there are no loop devices it is a plain folder, and only the look at the free disk bounds it.
    """

    def __init__(self, home: Path, runtime: Runtime = RUNC) -> None:
        self.folder = home / "sandbox"
        self.file = self.folder / "foreign.img"
        self.plain = self.folder / "foreign"
        key = hashlib.sha256(str(home.absolute()).encode()).hexdigest()[:16]
        self.mount = MOUNTS / key
        self.engine = PodmanEngine(home, root=self.mount, runtime=runtime)

    def exists(self) -> bool:
        """Whether there is a store, mounted or not: where no stranger's image ever came, nothing is looked up."""
        return self.file.is_file() or self.plain.is_dir()

    def kind(self) -> str:
        """How it is bounded, for the receipt."""
        if _can_loop():
            return f"file of {store_mb()} MB"
        return f"plain folder of {store_mb()} MB, bounded by a look at the disk: {_NO_LOOP}"

    def is_open(self) -> bool:
        """Whether it is mounted; by the kernel's list, as a folder of the same disk looks like any other folder."""
        return any(line.split()[4] == str(self.mount) for line in Path("/proc/self/mountinfo").read_text().splitlines())

    def open(self) -> None:
        """Mount it if it is not. Raises `EvaluationFailed(platform_error)`."""
        if self.is_open():
            return
        with self._lock("mount", fcntl.LOCK_EX):
            if not self.is_open():
                self._mount()

    def close(self) -> None:
        """Unmount it, for tests and for making it anew; what is in it stays."""
        for options in ((), ("--lazy",)):
            if self.is_open():
                subprocess.run(["umount", "--recursive", *options, str(self.mount)], capture_output=True, check=False)
        if not self.is_open():
            shutil.rmtree(self.mount, ignore_errors=True)
        shutil.rmtree(self.engine.run_root(), ignore_errors=True)

    def find(self, key: str) -> str | None:
        """The image ID of `key`, or None."""
        if not self.exists():
            return None
        self.open()
        done = self.engine.run("image", "inspect", "--format", "{{.Id}}", f"{NAME}:{key}", check=False)
        if done.returncode != 0:
            return None
        self._used(key).touch()
        return f"sha256:{done.stdout.strip().removeprefix('sha256:')}"

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """While this is open no image is evicted; keep it until a container holds the image."""
        with self._lock("use", fcntl.LOCK_SH):
            yield

    @contextmanager
    def arriving(self) -> Iterator[Path]:
        """A folder of one's own in the store for what is on its way, gone afterwards; a slow one holds up no other."""
        self.open()
        self._repair()
        try:
            with ExitStack() as holding:
                with self._lock("arrive", fcntl.LOCK_EX):
                    self._arrivals_sweep()
                    folder = Path(tempfile.mkdtemp(dir=self._arrivals))
                    holding.enter_context(_locked(folder))
                holding.callback(shutil.rmtree, folder, ignore_errors=True)
                yield folder
        finally:
            self._repair()

    @contextmanager
    def loading(self) -> Iterator[None]:
        """One load at a time."""
        with self._lock("load", fcntl.LOCK_EX):
            yield

    def room_make(self, needed: int, *, held: int = 0) -> None:
        """Evict the images that were not used for the longest time until `needed` bytes are free, here and on the disk.

        `held`: what the caller has here already and keeps. Raises `ImageRefused` when that much cannot be had here,
        without evicting anything if it never could; `EvaluationFailed(platform_error)` when the machine's own disk is
        too full.
        """
        if needed + held + _RESERVE > self._capacity():
            raise self._no_room(needed + held)
        keys = sorted(self._marks(), key=lambda path: path.stat().st_mtime)
        while True:
            here = self._free() >= needed + _RESERVE
            disk = shutil.disk_usage(self.folder).free
            if here and disk >= needed + _DISK_RESERVE:
                return
            if not keys:
                break
            self._evict(keys.pop(0).name)
        if not here:
            raise self._no_room(needed)
        problem = f"the disk has {disk >> 20} MB free, and an image needs {needed >> 20} MB and 1 GB to spare"
        raise EvaluationFailed(FailureCode.PLATFORM_ERROR, problem)

    def load(self, layout: Path, key: str, image_id: str) -> None:
        """Unpack the image of a `dir:` layout under `key`. Raises `ImageRefused` when there is no room for it.

        Only inside `loading`. A load that is cut off leaves layers that nobody owns, hence the mark that it began.
        """
        self._dirty.touch()
        try:
            target = f"{self.engine.storage()}{NAME}:{key}"
            self.engine.tool("skopeo", "copy", "--quiet", f"dir:{layout}", target, timeout_s=_LOAD_S, temporary=layout)
        except EngineError as error:
            if "no space left on device" in error.output:
                raise self._no_room(0) from None
            problem = f"cannot be unpacked: {error.output.splitlines()[-1][-300:] if error.output else error}"
            raise ImageRefused("image", image_id, problem, "build and save the image again") from None
        if self.find(key) != image_id:
            self._evict(key)
            raise platform_failure("the engine loaded another image", ValueError(f"than {image_id}"))
        self._dirty.unlink()

    @property
    def _dirty(self) -> Path:
        return self.mount / "changing"

    @property
    def _arrivals(self) -> Path:
        return self.mount / "arriving"

    def _arrivals_sweep(self) -> bool:
        """Remove what a killed process had on its way; whether somebody's is still coming."""
        coming = False
        for folder in self._arrivals.iterdir():
            try:
                with _locked(folder):
                    shutil.rmtree(folder, ignore_errors=True)
            except BlockingIOError:
                coming = True
        return coming

    def _used(self, key: str) -> Path:
        return self.mount / "used" / key

    def _marks(self) -> list[Path]:
        return list((self.mount / "used").iterdir())

    def _free(self) -> int:
        """Bytes that may still be written."""
        usage = shutil.disk_usage(self.mount)
        if self.file.is_file():
            return usage.free
        used = subprocess.run(["du", "-sk", str(self.plain)], capture_output=True, text=True, check=False).stdout
        return (store_mb() << 20) - (int(used.split()[0]) << 10 if used else 0)

    def _capacity(self) -> int:
        return shutil.disk_usage(self.mount).total if self.file.is_file() else store_mb() << 20

    def _no_room(self, needed: int) -> ImageRefused:
        size = f"{needed >> 20} MB" if needed else "more than its layers say"
        problem = f"does not fit: images may use {store_mb()} MB together, and those that run now stay"
        return ImageRefused("size", size, problem, "make the image smaller, or submit again later")

    def _evict(self, key: str) -> None:
        """Without force the engine keeps an image that a container uses; then its mark stays too."""
        with self._lock("use", fcntl.LOCK_EX):
            done = self.engine.run("rmi", f"{NAME}:{key}", check=False)
        if done.returncode == 0 or "image not known" in done.stderr:
            self._used(key).unlink(missing_ok=True)
            logger.info("image %s left the store", key)

    def _repair(self) -> None:
        """Empty the store if a load was cut off and nobody uses it now; otherwise the next one tries again."""
        if not self._dirty.exists():
            return
        try:
            with self._lock("load", fcntl.LOCK_EX | fcntl.LOCK_NB), self._lock("arrive", fcntl.LOCK_EX):
                if not self._dirty.exists() or self._arrivals_sweep():
                    return
                with self._lock("use", fcntl.LOCK_EX):
                    if not self.engine.run("ps", "--all", "--quiet", check=False).stdout.strip():
                        self._renew()
        except BlockingIOError:  # a load is going on, and the mark is its own
            return

    def _renew(self) -> None:
        logger.warning("the image store is made anew: a load was cut off")
        with self._lock("mount", fcntl.LOCK_EX):
            self.close()
            self.file.unlink(missing_ok=True)
            shutil.rmtree(self.plain, ignore_errors=True)
            self._mount()

    def _mount(self) -> None:
        self.mount.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        if _can_loop():
            shutil.rmtree(self.plain, ignore_errors=True)
            size = store_mb() << 20
            if not (self.file.is_file() and self.file.stat().st_size == size and self._mount_file()):
                self.file.unlink(missing_ok=True)
                self._format(size)
                if not self._mount_file():
                    raise platform_failure("the image store could not be mounted", OSError(str(self.file)))
        else:
            logger.warning("the image store is a plain folder: %s", _NO_LOOP)
            self.file.unlink(missing_ok=True)
            self.plain.mkdir(exist_ok=True)
            _call("mount", "--bind", "--make-private", str(self.plain), str(self.mount))
        self.mount.chmod(0o711)
        (self.mount / "used").mkdir(exist_ok=True)
        self._arrivals.mkdir(exist_ok=True)

    def _format(self, size: int) -> None:
        partial = self.file.with_suffix(".new")
        with partial.open("wb") as file:
            file.truncate(size)
        _call("mkfs.ext4", "-q", "-m", "0", "-J", "size=32", "-E", "nodiscard", str(partial))
        partial.replace(self.file)

    def _mount_file(self) -> bool:
        # discard: what is evicted is given back to the disk that the file lies on
        command = ["mount", "-o", "loop,nodev,nosuid,discard", str(self.file), str(self.mount)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    @contextmanager
    def _lock(self, name: str, how: int) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f".foreign-{name}.lock").open("w") as handle:
            fcntl.flock(handle, how)
            yield


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder, as long as the process lives. Raises `BlockingIOError` when another holds it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


_NO_LOOP = "this machine has no loop devices or no mkfs.ext4"
#: mkfs lies where an ordinary user's path does not lead.
_PROGRAMS = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _can_loop() -> bool:
    return Path("/dev/loop-control").exists() and shutil.which("mkfs.ext4", path=_PROGRAMS) is not None


def _call(*command: str) -> None:
    """Run a small program. Raises `EvaluationFailed(platform_error)`."""
    environment = os.environ | {"PATH": _PROGRAMS}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise platform_failure("the image store could not be made", OSError(f"{command[0]}: {done.stderr.strip()}"))
