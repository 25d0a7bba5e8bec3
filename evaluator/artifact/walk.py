"""Lists and opens what a stranger left in a folder, so that no name can lead outside it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from evaluator.contract import EvaluationFailed, FailureCode

_NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")
MAX_DEPTH = 8
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # opening a pipe must not wait for its writer
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


@dataclass(frozen=True)
class Found:
    """A regular file by its path relative to the folder, with the size that it had when it was listed."""

    path: str
    size_bytes: int


def refuse(problem: str, code: FailureCode = FailureCode.OUTPUT_REFUSED) -> EvaluationFailed:
    return EvaluationFailed(code, problem)


def folder_open(path: str | os.PathLike[str]) -> int:
    """A descriptor of the folder. Raises `EvaluationFailed(output_missing)`."""
    try:
        return os.open(path, _FOLDER_FLAGS)
    except OSError as error:
        raise refuse(f"the output folder cannot be read: {error.strerror}", FailureCode.OUTPUT_MISSING) from None


def files_list(root: int, *, max_files: int) -> list[Found]:
    """Every file under `root`, in name order. Raises `EvaluationFailed` for anything that is not a plain file.

    output_refused: a link, pipe, socket, device, a second name of one file, an unsafe name, too deep;
    output_too_large: more than `max_files` files and folders.
    """
    found: list[Found] = []
    try:
        for seen, item in enumerate(_walk(root, "", 0), start=1):
            if seen > max_files:
                raise refuse(f"the output holds more than {max_files} files and folders", FailureCode.OUTPUT_TOO_LARGE)
            if item is not None:
                found.append(item)
    except OSError as error:
        raise refuse(f"the output folder cannot be listed: {error}") from None
    return sorted(found, key=lambda item: item.path)


def _walk(folder: int, prefix: str, depth: int) -> Iterator[Found | None]:
    if depth > MAX_DEPTH:
        raise refuse(f"{prefix[:200]!r} lies more than {MAX_DEPTH} folders deep")
    with os.scandir(folder) as entries:
        for entry in entries:
            path = prefix + entry.name
            if not _NAME.match(entry.name):
                raise refuse(f"the name {entry.name[:80]!r} (in {prefix or '.'}) has characters that are not allowed")
            info = os.stat(entry.name, dir_fd=folder, follow_symlinks=False)
            kind = stat.S_IFMT(info.st_mode)
            if kind == stat.S_IFDIR:
                yield None
                inner = os.open(entry.name, _FOLDER_FLAGS, dir_fd=folder)
                try:
                    yield from _walk(inner, path + "/", depth + 1)
                finally:
                    os.close(inner)
            elif kind != stat.S_IFREG:
                raise refuse(f"{path} is {_KINDS.get(kind, 'not a regular file')}; write regular files only")
            elif info.st_nlink != 1:
                raise refuse(f"{path} is a hard link ({info.st_nlink} names for one file); write each file once")
            else:
                yield Found(path, info.st_size)


def file_open(root: int, path: str) -> int:
    """A descriptor of `path` under `root`, through no link. Raises `EvaluationFailed(output_refused)`."""
    *folders, name = path.split("/")
    opened: list[int] = []
    try:
        at = root
        for folder in folders:
            at = os.open(folder, _FOLDER_FLAGS, dir_fd=at)
            opened.append(at)
        descriptor = os.open(name, _FILE_FLAGS, dir_fd=at)
    except OSError as error:
        raise refuse(f"{path} cannot be read: {error.strerror}") from None
    finally:
        for folder_descriptor in opened:
            os.close(folder_descriptor)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise refuse(f"{path} is not a regular file")
    return descriptor
