"""Checks a method's output, copies it out of reach, hashes it: from a folder of a stranger to a sealed artifact."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from evaluator.artifact import adapter, adapter_config, companions, walk
from evaluator.artifact.base_tensors import BaseTensors
from evaluator.artifact.finite import all_finite, chunk_bytes
from evaluator.artifact.header import HeaderError, TensorInfo, header_read
from evaluator.artifact.walk import Found, refuse
from evaluator.contract import EvaluationFailed, FailureCode, Limits, MethodResult
from evaluator.contract.result import ArtifactKind

RESULT = "result.json"
MARK = "seal.json"
_RESULT_BYTES = 256 << 10
_CONFIG_BYTES = 256 << 10
_CHUNK = 4 << 20
_MODEL = re.compile(r"^model/[A-Za-z0-9_][A-Za-z0-9_.-]*\.safetensors$")
_DIVISION: dict[ArtifactKind, str] = {"weights": "weights", "adapter": "weights", "server": "system"}


@dataclass(frozen=True)
class SealedArtifact:
    """`path` holds result.json and model/, adapter/ or state/, all read-only; `sha256` is over names and contents."""

    kind: ArtifactKind
    result: MethodResult
    path: Path
    sha256: str
    size_bytes: int


def seal(
    out_dir: Path, sealed_dir: Path, *, base: BaseTensors, base_sha256: str, division: str, limits: Limits
) -> SealedArtifact:
    """Check `out_dir` and copy it to `sealed_dir`; nothing is left there when it is refused.

    A `sealed_dir` that is complete is returned as it is, its hashes checked again, so that a run can be resumed.
    `division` is the manifest's: weights and adapters belong to "weights", servers to "system".
    Raises `EvaluationFailed` with output_missing, output_refused, output_too_large, base_mismatch or not_finite; its
    detail names the file, tensor or field.
    """
    if (sealed_dir / MARK).is_file():
        return _resume(sealed_dir)
    partial = sealed_dir.with_name(f"{sealed_dir.name}.partial")
    _remove(partial)
    _remove(sealed_dir)
    partial.mkdir(parents=True)
    root = walk.folder_open(out_dir)
    try:
        files = walk.files_list(root, max_files=limits.out_files)
        result = _result(root, files, base_sha256=base_sha256, division=division)
        files = companions.dropped(result.kind, files)
        _names_check(result.kind, files)
        hashes = _copy(root, files, partial, limits.out_mb << 20)
        _content_check(result.kind, partial, [item.path for item in files], base)
        if result.kind == "server":
            (partial / "state").mkdir(exist_ok=True)  # a server may need none, but its folder is always mounted
        total = sum(size for _, size in hashes.values())
        _finish(partial, sealed_dir, hashes, result)
    except BaseException:
        _remove(partial)
        raise
    finally:
        os.close(root)
    return SealedArtifact(result.kind, result, sealed_dir, _digest(hashes), total)


def _result(root: int, files: Sequence[Found], *, base_sha256: str, division: str) -> MethodResult:
    listed = next((item for item in files if item.path == RESULT), None)
    if listed is None:
        raise refuse(f"the method left no {RESULT} in $PALIMPSEST_OUT", FailureCode.OUTPUT_MISSING)
    if listed.size_bytes > _RESULT_BYTES:
        raise refuse(f"{RESULT} is larger than {_RESULT_BYTES >> 10} KiB", FailureCode.OUTPUT_MISSING)
    with os.fdopen(walk.file_open(root, RESULT), "rb") as file:
        data = file.read(_RESULT_BYTES + 1)
    try:
        result = MethodResult.model_validate_json(data)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors()[:5])
        raise refuse(f"{RESULT} is not valid: {faults}", FailureCode.OUTPUT_MISSING) from None
    try:
        json.dumps(result.hparams, allow_nan=False)
    except ValueError:
        raise refuse(f"{RESULT}: hparams holds NaN or infinity; write null", FailureCode.OUTPUT_MISSING) from None
    if result.base_sha256 != base_sha256:
        raise refuse(
            f"{RESULT}: base_sha256 is {result.base_sha256}, the job's is {base_sha256}: copy it from job.json",
            FailureCode.BASE_MISMATCH,
        )
    if _DIVISION[result.kind] != division:
        raise refuse(
            f"{RESULT}: kind is {result.kind!r}, which belongs to the division {_DIVISION[result.kind]!r}; "
            f"the manifest says {division!r}"
        )
    return result


def _names_check(kind: ArtifactKind, files: Sequence[Found]) -> None:
    """Only the names that the contract gives to this kind."""
    names = [item.path for item in files if item.path != RESULT]
    hint = "" if kind == "server" else companions.remedy(names)
    if kind == "weights":
        wrong, rule = [name for name in names if not _MODEL.match(name)], "model/*.safetensors"
    elif kind == "adapter":
        allowed = {adapter_config.CONFIG, adapter.TENSORS}
        wrong, rule = [name for name in names if name not in allowed], " and ".join(sorted(allowed))
        if missing := sorted(allowed - set(names)):
            raise refuse(f"the output lacks {', '.join(missing)}{hint}", FailureCode.OUTPUT_MISSING)
    else:
        wrong, rule = [name for name in names if not name.startswith("state/")], "files under state/"
    if wrong:
        listed = ", ".join(wrong[:5]) + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        raise refuse(f"a result of kind {kind!r} holds only {RESULT} and {rule}; found {listed}{hint}")
    if kind == "weights" and not names:
        raise refuse("the output lacks model/*.safetensors", FailureCode.OUTPUT_MISSING)


def _copy(root: int, files: Sequence[Found], target: Path, cap: int) -> dict[str, tuple[str, int]]:
    """Copy while hashing: (sha256, size) by name. The cap counts bytes as they come, not as they were listed."""
    done: dict[str, tuple[str, int]] = {}
    total = 0
    for item in files:
        path = target / item.path
        path.parent.mkdir(parents=True, exist_ok=True)
        digest, size = hashlib.sha256(), 0
        with os.fdopen(walk.file_open(root, item.path), "rb") as source, path.open("xb") as copy:
            while chunk := source.read(_CHUNK):
                size += len(chunk)
                if total + size > cap:
                    raise refuse(f"the output is larger than {cap >> 20} MB", FailureCode.OUTPUT_TOO_LARGE)
                digest.update(chunk)
                copy.write(chunk)
        total += size
        done[item.path] = (digest.hexdigest(), size)
    return done


def _content_check(kind: ArtifactKind, folder: Path, names: Sequence[str], base: BaseTensors) -> None:
    """Tensors against the base; on our own copy, which nobody else can change."""
    if kind == "server":
        return
    if kind == "adapter":
        data = (folder / adapter_config.CONFIG).read_bytes()
        if len(data) > _CONFIG_BYTES:
            raise refuse(f"{adapter_config.CONFIG} is larger than {_CONFIG_BYTES >> 10} KiB")
        config = adapter_config.config_check(data)
        tensors = _header(folder, adapter.TENSORS)
        adapter.tensors_check(tensors, config, base)
        _finite_check(folder, adapter.TENSORS, tensors)
        return
    home: dict[str, str] = {}
    for name in names:
        if name == RESULT:
            continue
        tensors = _header(folder, name)
        for tensor, info in tensors.items():
            if tensor in home:
                raise refuse(f"tensor {tensor!r} stands in both {home[tensor]} and {name}")
            home[tensor] = name
            _tensor_check(name, tensor, info, base)
        _finite_check(folder, name, tensors)


def _header(folder: Path, name: str) -> dict[str, TensorInfo]:
    path = folder / name
    try:
        with path.open("rb") as file:
            return header_read(file, path.stat().st_size)
    except HeaderError as error:
        raise refuse(f"{name} {error}") from None


def _tensor_check(file: str, name: str, info: TensorInfo, base: BaseTensors) -> None:
    known = base.tensors.get(name)
    if known is None:
        raise refuse(f"{file}: tensor {name[:200]!r} is not in the base model{companions.rename(name, base)}")
    if info.shape != known.shape:
        raise refuse(f"{file}: tensor {name!r} has shape {list(info.shape)}, the base has {list(known.shape)}")
    if info.dtype_class != known.dtype_class:
        raise refuse(f"{file}: tensor {name!r} has type {info.dtype}, the base has {known.dtype}")


def _finite_check(folder: Path, name: str, tensors: dict[str, TensorInfo]) -> None:
    with (folder / name).open("rb") as file:
        for tensor, info in tensors.items():
            file.seek(info.begin)
            left = info.end - info.begin
            while left:
                data = file.read(min(left, chunk_bytes(info.dtype)))
                if not all_finite(info.dtype, data):
                    raise refuse(f"{name}: tensor {tensor!r} holds NaN or infinity", FailureCode.NOT_FINITE)
                left -= len(data)


def _digest(hashes: dict[str, tuple[str, int]]) -> str:
    lines = (f"{name}\0{digest}\n" for name, (digest, _) in sorted(hashes.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _finish(partial: Path, sealed_dir: Path, hashes: dict[str, tuple[str, int]], result: MethodResult) -> None:
    files = {name: {"sha256": digest, "size_bytes": size} for name, (digest, size) in sorted(hashes.items())}
    mark = {"sha256": _digest(hashes), "kind": result.kind, "files": files}
    with (partial / MARK).open("w") as file:
        json.dump(mark, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    # A server container has user ids of its own: what it reads, everyone may read; what nobody writes, nobody may.
    for folder, _, names in os.walk(partial, topdown=False):
        for name in names:
            os.chmod(os.path.join(folder, name), 0o444)
        os.chmod(folder, 0o755 if folder == str(partial) else 0o555)
    partial.rename(sealed_dir)
    sealed_dir.chmod(0o555)


def _resume(sealed_dir: Path) -> SealedArtifact:
    """A finished seal, as good as on the day it was made. Raises `EvaluationFailed(platform_error)` if it is not."""
    try:
        mark = json.loads((sealed_dir / MARK).read_bytes())
        hashes: dict[str, tuple[str, int]] = {}
        for name, known in mark["files"].items():
            with (sealed_dir / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            hashes[name] = (digest, int(known["size_bytes"]))
        if _digest(hashes) != mark["sha256"]:
            raise ValueError("its hashes have changed")
        result = MethodResult.model_validate_json((sealed_dir / RESULT).read_bytes())
    except (OSError, ValueError, LookupError, TypeError) as error:
        detail = f"the sealed artifact {sealed_dir} is damaged: {error}"
        raise EvaluationFailed(FailureCode.PLATFORM_ERROR, detail) from None
    return SealedArtifact(result.kind, result, sealed_dir, mark["sha256"], sum(size for _, size in hashes.values()))


def _remove(folder: Path) -> None:
    if not folder.exists():
        return
    for inner, _, _ in os.walk(folder):
        os.chmod(inner, 0o700)
    shutil.rmtree(folder)
