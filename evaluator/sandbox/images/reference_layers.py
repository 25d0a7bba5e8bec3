"""What goes into the reference image: Debian's Python, the installed packages a method needs, and method code."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import marshal
import os
import stat
import subprocess
import sys
import types
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from packaging.requirements import Requirement

from evaluator.contract import EvaluationFailed, FailureCode
from evaluator.sandbox.images.oci_layout import Entry

#: Change it when the layers change for the same input.
RECIPE = "4"

DEBIAN_PACKAGES = (
    "base-files netbase media-types libc6 libc-bin dash coreutils libacl1 libattr1 libselinux1 libpcre2-8-0 libgmp10 "
    "python3-minimal python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libexpat1 zlib1g libssl3 libffi8 "
    "libsqlite3-0 libbz2-1.0 liblzma5 libncursesw6 libtinfo6 libreadline8 libuuid1 libcrypt1 libgcc-s1 libstdc++6"
).split()

#: The packages that method code may import; their dependencies follow from their own metadata.
SITE_ROOTS = ("torch", "transformers", "safetensors", "tokenizers", "numpy")

SITE = "opt/site"
OTHER_WAY = "build deploy/image/Containerfile with podman or docker instead, and name the image by its ID"

_MERGED = ("bin", "sbin", "lib", "lib64")
_NOT_COPIED = (
    "/usr/share/man/",
    "/usr/share/doc/",
    "/usr/share/locale/",
    "/usr/share/lintian/",
    "/usr/share/i18n/",
    "/etc/init.d/",
)
_PASSWD = b"root:x:0:0:root:/root:/usr/sbin/nologin\nmethod:x:10001:10001:method:/tmp:/usr/sbin/nologin\n"
_GROUP = b"root:x:0:\nmethod:x:10001:\n"

# Headers, static libraries and test programs: compile-time only. `torch_shm_manager` is what DataLoader workers share
# tensors through, so of torch/bin it alone stays.
_DROPPED_FOLDERS = ("torch/include/", "torch/test/", "torch/share/", "torch/lib/pkgconfig/", "setuptools/tests/")
_DROPPED_SUFFIXES = (".a", ".pyi", ".h", ".cuh", ".hpp", ".c", ".cpp", ".cu", ".pyx", ".pxd")
_DROPPED_TESTS = ("numpy", "sympy", "networkx", "mpmath")
# Compiled pyc only for what the common path imports; the rest compiles when it is first asked for.
_NO_BYTECODE = (
    "torch/testing/",
    "torch/onnx/",
    "torch/_inductor/codegen/",
    "sympy/",
    "networkx/",
    "setuptools/",
    "pygments/",
)
_MODELS_WITH_BYTECODE = (
    "auto",
    "llama",
    "gpt2",
    "gpt_neox",
    "qwen2",
    "qwen3",
    "gemma",
    "gemma2",
    "mistral",
    "phi",
    "smollm3",
    "encoder_decoder",
)


def refused(detail: str) -> EvaluationFailed:
    return EvaluationFailed(
        FailureCode.PLATFORM_ERROR, f"the reference image cannot be built here: {detail}; {OTHER_WAY}"
    )


def text_hash(*parts: str) -> str:
    return hashlib.sha256("\0".join((RECIPE, *parts)).encode()).hexdigest()


# -- Debian's Python -----------------------------------------------------------------------------------------------


def debian_key() -> str:
    """Hash of the exact package versions. Raises `EvaluationFailed` where there is no Debian with Python 3.11."""
    if sys.version_info[:2] != (3, 11):
        version = ".".join(map(str, sys.version_info[:2]))
        raise refused(f"its Python is Debian's 3.11 and this one is {version}, whose compiled packages do not fit")
    try:
        done = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Package}:${Architecture} ${Version} ${db:Status-Status}\n", *DEBIAN_PACKAGES],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise refused("this is not a Debian system (no dpkg-query)") from None
    rows = [line.split() for line in done.stdout.splitlines()]
    installed = {row[0].split(":")[0] for row in rows if row[-1] == "installed"}
    if absent := [name for name in DEBIAN_PACKAGES if name not in installed]:
        raise refused(f"these Debian packages are not installed: {' '.join(absent)} (apt-get install them)")
    if any(row[0].split(":")[1] not in ("amd64", "all") for row in rows):
        raise refused("the packages of this machine are not amd64")
    return text_hash("debian", *sorted(done.stdout.splitlines()))


def debian_entries() -> Iterator[Entry]:
    """Files of the packages, as a merged-/usr root with the folders that a container mounts over."""
    listed = subprocess.run(["dpkg-query", "-L", *DEBIAN_PACKAGES], capture_output=True, text=True, check=True).stdout
    for name in _MERGED:
        yield Entry(name, link=f"usr/{name}")
    for name in ("proc", "sys", "dev", "run/palimpsest", "in", "out", "state", "base", "root"):
        yield Entry(name, mode=0o755)
    yield Entry("tmp", mode=0o1777)
    yield Entry("etc/passwd", _PASSWD)
    yield Entry("etc/group", _GROUP)
    for line in sorted(set(listed.splitlines())):
        top = line.split("/")[1] if line.startswith("/") else ""
        merged = f"/usr{line}" if top in _MERGED else line
        if not merged.startswith(("/usr/", "/etc/")) or merged.startswith(_NOT_COPIED) or "__pycache__" in merged:
            continue
        source = Path(merged)
        if source.is_symlink():
            yield Entry(merged[1:], link=os.readlink(source))
        elif source.is_file():
            yield from _file_entries(source, merged[1:], bytecode=merged.startswith("/usr/lib/python3.11/"))


# -- Installed packages --------------------------------------------------------------------------------------------


def site_distributions(roots: Iterable[str] = SITE_ROOTS) -> dict[str, importlib.metadata.Distribution]:
    """`roots` and all that they require on this machine, from installed metadata; nothing is imported."""
    found: dict[str, importlib.metadata.Distribution] = {}
    todo = list(roots)
    while todo:
        name = todo.pop().lower().replace("_", "-").replace(".", "-")
        if name in found:
            continue
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            raise refused(f"the Python package `{name}` is not installed (pip install '.[eval]')") from None
        found[name] = distribution
        for text in distribution.requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                todo.append(requirement.name)
    return dict(sorted(found.items()))


def site_key(distributions: dict[str, importlib.metadata.Distribution]) -> str:
    """Hash of every package's own list of files with their hashes."""
    return text_hash(
        "site", *(f"{name} {item.version}\n{item.read_text('RECORD')}" for name, item in distributions.items())
    )


def site_entries(distributions: dict[str, importlib.metadata.Distribution]) -> Iterator[Entry]:
    """The packages' files under /opt/site, without what only a compiler or a test needs."""
    for distribution in distributions.values():
        for file in distribution.files or ():
            name = file.as_posix()
            if name.startswith(("..", "/")) or not _site_wanted(name):
                continue
            source = Path(str(distribution.locate_file(file)))
            if source.is_file():
                yield from _file_entries(source, f"{SITE}/{name}", bytecode=_site_bytecode(name))


def _site_wanted(name: str) -> bool:
    if "__pycache__" in name or name.startswith(_DROPPED_FOLDERS) or name.endswith(_DROPPED_SUFFIXES):
        return False
    if name.startswith("torch/bin/"):
        return name == "torch/bin/torch_shm_manager"
    parts = name.split("/")
    return not (parts[0] in _DROPPED_TESTS and "tests" in parts)


def _site_bytecode(name: str) -> bool:
    if name.startswith("transformers/models/"):
        parts = name.split("/")
        return len(parts) == 3 or parts[2] in _MODELS_WITH_BYTECODE
    return not name.startswith(_NO_BYTECODE)


# -- Plain folders -------------------------------------------------------------------------------------------------


def folder_files(folder: Path) -> dict[str, Path]:
    """Regular files under a folder by relative name, without caches and hidden files. Raises on a link."""
    found: dict[str, Path] = {}
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
        for name in sorted(files):
            path = Path(root) / name
            if name.startswith(".") or name.endswith(".pyc"):
                continue
            if not stat.S_ISREG(path.lstat().st_mode):
                raise refused(f"{path} is not a regular file")
            found[path.relative_to(folder).as_posix()] = path
    if not found:
        raise refused(f"{folder} holds no files")
    return found


def folder_key(folder: Path, target: str) -> str:
    files = folder_files(folder)
    return text_hash("folder", target, *(f"{n} {hashlib.sha256(p.read_bytes()).hexdigest()}" for n, p in files.items()))


def folder_entries(folder: Path, target: str) -> Iterator[Entry]:
    """`folder` at `target` (no leading slash) of the image."""
    for name, path in folder_files(folder).items():
        yield from _file_entries(path, f"{target}/{name}", bytecode=True)


# -- Files and bytecode --------------------------------------------------------------------------------------------


def _file_entries(source: Path, target: str, *, bytecode: bool) -> Iterator[Entry]:
    mode = 0o755 if source.stat().st_mode & 0o111 else 0o644
    yield Entry(target, source, mode=mode)
    if bytecode and target.endswith(".py"):
        compiled = _bytecode(source, "/" + target)
        if compiled is not None:
            path = PurePosixPath(target)
            yield Entry(f"{path.parent}/__pycache__/{path.stem}.{sys.implementation.cache_tag}.pyc", compiled)


def _bytecode(source: Path, target: str) -> bytes | None:
    """An unchecked-hash pyc: with every file time zero, one checked by time would be stale at each start."""
    text = source.read_bytes()
    code = _bytecode_cached(source, text)
    if code is None:
        try:
            code = compile(text, target, "exec", dont_inherit=True)
        except (SyntaxError, ValueError):  # templates and broken-on-purpose test data
            return None
    body = marshal.dumps(_renamed(code, target))
    return importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + importlib.util.source_hash(text) + body


def _bytecode_cached(source: Path, text: bytes) -> types.CodeType | None:
    """What pip or dpkg compiled already, if it belongs to this very file: saves most of a minute for torch."""
    cached = Path(importlib.util.cache_from_source(str(source)))
    try:
        data, info = cached.read_bytes(), source.stat()
    except OSError:
        return None
    expected = int(info.st_mtime).to_bytes(8, "little")[:4] + len(text).to_bytes(4, "little")
    if data[:4] != importlib.util.MAGIC_NUMBER or data[4:8] != b"\0\0\0\0" or data[8:16] != expected:
        return None
    try:
        code = marshal.loads(data[16:])  # noqa: S302 - this interpreter trusts these files at every import  # nosec B302
    except (EOFError, ValueError, TypeError):
        return None
    return code if isinstance(code, types.CodeType) else None


def _renamed(code: types.CodeType, target: str) -> types.CodeType:
    """The same code under its name in the image: tracebacks there must not show a path of this machine."""
    constants = tuple(_renamed(item, target) if isinstance(item, types.CodeType) else item for item in code.co_consts)
    return code.replace(co_filename=target, co_consts=constants)
