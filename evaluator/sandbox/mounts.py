"""Where a container's folders lie: small memory file systems for what it may write, and its inputs beside them."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

from evaluator.contract import EvaluationFailed, FailureCode
from evaluator.sandbox.protocol import Mount, Role

#: Short on purpose: the path of a unix socket may have at most 107 bytes, and a data folder can lie deep.
RUNTIME = Path("/run/palimpsest")

#: The name of a mount in /proc/self/mountinfo: whose it is and until when it may live. The container sees it too,
#: so it holds no run id.
_SOURCE = re.compile(r"^palimpsest-([0-9a-f]{16})-(\d+)$")

_WALK_LIMIT = 5000


def owner_key(home: Path, run_id: str, role: Role) -> str:
    return hashlib.sha256(f"{home.absolute()}\0{run_id}\0{role}".encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Volume:
    """A mounted tmpfs. `path` is where it lies on this machine."""

    path: Path

    def full(self) -> bool:
        """Whether its space or its count of files is used up."""
        try:
            usage = os.statvfs(self.path)
        except OSError:
            return False
        return usage.f_bavail * usage.f_frsize < 64 * 1024 or usage.f_favail == 0


def volume_mount(key: str, name: str, *, size_kb: int, files: int, deadline: float, owner: int = 0) -> Volume:
    """Mount an empty tmpfs that anyone may write who comes there. Raises `EvaluationFailed(platform_error)`.

    Of this machine's users only root and `owner` do: the id that the container's root has here.
    nosymfollow: code outside the container that opens a path here cannot be led elsewhere by a link.
    """
    folder = RUNTIME / f"{key}-{secrets.token_hex(4)}" / name
    try:
        folder.mkdir(parents=True, mode=0o755)
        folder.parent.chmod(0o700)
        os.chown(folder.parent, owner, owner)
    except OSError as error:
        raise EvaluationFailed(FailureCode.PLATFORM_ERROR, f"cannot make {folder}: {error}") from None
    options = f"size={size_kb}k,nr_inodes={files + 2},mode=0777,nosuid,nodev,noexec"
    command = ["mount", "-t", "tmpfs", f"palimpsest-{key}-{int(deadline)}", str(folder), "-o"]
    for extra in (",nosymfollow", ""):  # Linux before 5.10 does not know the option; intake never follows links anyway
        done = subprocess.run([*command, options + extra], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return Volume(folder)
    folder.rmdir()
    raise EvaluationFailed(FailureCode.PLATFORM_ERROR, f"mounting the output volume failed: {done.stderr.strip()}")


def mounts_stage(volume: Volume, mounts: tuple[Mount, ...]) -> tuple[Mount, ...]:
    """The same mounts from beside the volume. Raises `EvaluationFailed(platform_error)`.

    What sets up a container as another user (gVisor does) may not come where the data folder lies; and what is
    read-only is so for this machine too, whatever an engine makes of the option.
    """
    staged = []
    for number, mount in enumerate(mounts):
        place = volume.path.parent / f"in-{number}"
        place.mkdir()
        options = f"{'ro' if mount.read_only else 'rw'},noexec,nosuid,nodev"
        command = ["mount", "--bind", "-o", options, str(mount.source), str(place)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise _wrong(mount, f"could not be mounted: {done.stderr.strip()}")
        staged.append(replace(mount, source=place))
    return tuple(staged)


def volume_unmount(path: Path) -> None:
    """Unmount a volume and the inputs beside it, and remove their folder; silent if it is gone.

    A busy mount is detached and vanishes with its last user.
    """
    for place in (path, *path.parent.glob("in-*")):
        for options in ((), ("-l",)):
            if subprocess.run(["umount", *options, str(place)], capture_output=True, check=False).returncode == 0:
                break
            if not os.path.ismount(place):
                break
    _folder_remove(path.parent)


def _folder_remove(folder: Path) -> None:
    """Remove a volume's folder with what the engine's monitor wrote beside the mount point; what is busy stays."""
    try:
        for inner in folder.iterdir():
            if inner.is_dir() and not inner.is_symlink():
                inner.rmdir()
            else:
                inner.unlink()
        folder.rmdir()
    except OSError:
        return


def volumes_sweep(keys: set[str] | None) -> int:
    """Unmount what a crash left: volumes of `keys`, or (None) all past their deadline; how many."""
    removed = 0
    for source, path in _mounted():
        match = _SOURCE.match(source)
        if match is None:
            continue
        if match[1] in keys if keys is not None else time.time() > int(match[2]):
            volume_unmount(path)
            removed += 1
    if RUNTIME.is_dir():
        for folder in RUNTIME.iterdir():
            ours = folder.name.split("-")[0] in keys if keys is not None else _is_old(folder)
            if ours:
                _folder_remove(folder)
    return removed


def _is_old(folder: Path) -> bool:
    try:
        return time.time() - folder.stat().st_mtime > 3600
    except OSError:
        return False


def _mounted() -> list[tuple[str, Path]]:
    """(source, mount point) of every tmpfs of ours."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        head, _, tail = line.partition(" - ")
        kind, source = tail.split()[:2]
        if kind == "tmpfs" and source.startswith("palimpsest-"):
            found.append((source, Path(re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), head.split()[4]))))
    return found


def mounts_check(mounts: tuple[Mount, ...]) -> None:
    """Refuse what would fail later with a worse message. Raises `EvaluationFailed(platform_error)`."""
    for mount in mounts:
        if not mount.source.is_absolute() or not mount.source.is_dir():
            raise _wrong(mount, "is not a folder with an absolute path")
        if set(f"{mount.source}{mount.target}") & set(":,\\\n"):
            raise _wrong(mount, "has a character that the engine cannot take (one of `:`, `,`, backslash, newline)")
        for other in mounts:
            inner = other.target.removeprefix(mount.target + "/")
            if inner != other.target and not (mount.source / inner).is_dir():
                raise _wrong(mount, f"has no empty folder `{inner}` to mount {other.target} on")
        _readable(mount)


def _readable(mount: Mount) -> None:
    """A container has its own user ids: it reads only what everyone may read."""
    count = 0
    for root, folders, files in os.walk(mount.source):
        for name, needed in [(".", 0o005), *((n, 0o005) for n in folders), *((n, 0o004) for n in files)]:
            path = os.path.join(root, name)
            if not os.path.islink(path) and os.stat(path).st_mode & needed != needed:
                raise _wrong(mount, f"holds {path}, which others cannot read (chmod -R a+rX {mount.source})")
            count += 1
        if count > _WALK_LIMIT:
            return


def _wrong(mount: Mount, problem: str) -> EvaluationFailed:
    return EvaluationFailed(FailureCode.PLATFORM_ERROR, f"mount {mount.source} at {mount.target}: it {problem}")
