"""OCI images written by hand: tar layers with fixed times and owners, so that the same input is the same digest."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from evaluator.sandbox.engine_commands.base import ContainerEngine

ARCHITECTURE = "amd64"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class Entry:
    """One file (`data`: bytes, or a path to copy), link (`link`: its target) or folder (neither) of a layer."""

    path: str  # without a leading slash
    data: bytes | Path | None = None
    link: str | None = None
    mode: int = 0o644


@dataclass(frozen=True)
class Layer:
    """One uncompressed tar; `digest` is both its blob digest and its diff id."""

    digest: str
    size: int


@dataclass(frozen=True)
class ImageConfig:
    """How an image starts."""

    entrypoint: tuple[str, ...]
    user: str = "10001:10001"
    env: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = "/tmp"  # nosec B108 # inside a container
    volumes: tuple[str, ...] = ()

    def json(self, layers: tuple[Layer, ...]) -> dict[str, Any]:
        config: dict[str, Any] = {
            "Entrypoint": list(self.entrypoint),
            "User": self.user,
            "Env": [f"{name}={value}" for name, value in sorted(self.env.items())],
            "WorkingDir": self.working_dir,
        }
        if self.volumes:
            config["Volumes"] = {path: {} for path in self.volumes}
        return {
            "architecture": ARCHITECTURE,
            "os": "linux",
            "created": _EPOCH,
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
            "history": [{"created": _EPOCH, "created_by": "palimpsest"} for _ in layers],
        }


class _HashingFile(io.RawIOBase):
    """Hashes what passes through on its way to a file: a layer of a gigabyte is read only once."""

    def __init__(self, inner: IO[bytes]) -> None:
        self.inner = inner
        self.hash = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.hash.update(data)
        self.size += len(data)
        return self.inner.write(data)


def tar_write(target: IO[bytes], entries: Iterable[Entry]) -> None:
    """Write entries in name order, parents first, every owner root and every time zero."""
    ordered = {entry.path.strip("/"): entry for entry in entries}
    for path in list(ordered):
        for parent in PurePosixPath(path).parents:
            if str(parent) != ".":
                ordered.setdefault(str(parent), Entry(str(parent), mode=0o755))
    with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 20) as tar:
        for path in sorted(ordered):
            entry = ordered[path]
            info = tarfile.TarInfo(path)
            info.mode = entry.mode
            if entry.link is not None:
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
                tar.addfile(info)
            elif entry.data is None:
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            elif isinstance(entry.data, bytes):
                info.size = len(entry.data)
                tar.addfile(info, io.BytesIO(entry.data))
            else:
                with entry.data.open("rb") as source:
                    info.size = os.fstat(source.fileno()).st_size
                    tar.addfile(info, source)


class ImageStore:
    """An OCI layout under `root`, where a layer is found again by the hash of what it was made from."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = root / "blobs" / "sha256"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One builder at a time; the lock falls with the process."""
        self.blobs.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def layer(self, key: str, entries: Callable[[], Iterable[Entry]]) -> Layer:
        """The layer of input hash `key`, written now only if it is not there."""
        record = self.root / "layers" / f"{key}.json"
        if record.is_file():
            layer = Layer(**json.loads(record.read_text()))
            blob = self.blobs / layer.digest.removeprefix("sha256:")
            if blob.is_file() and blob.stat().st_size == layer.size:
                return layer
        record.parent.mkdir(parents=True, exist_ok=True)
        self.blobs.mkdir(parents=True, exist_ok=True)
        partial = self.blobs / f".partial-{os.getpid()}"
        try:
            with partial.open("wb") as handle:
                hashing = _HashingFile(handle)
                tar_write(hashing, entries())  # type: ignore[arg-type]
            name = hashing.hash.hexdigest()
            partial.replace(self.blobs / name)
        finally:
            partial.unlink(missing_ok=True)
        layer = Layer(f"sha256:{name}", hashing.size)
        self._put(record, json.dumps({"digest": layer.digest, "size": layer.size}).encode())
        return layer

    def image(self, name: str, layers: tuple[Layer, ...], config: ImageConfig) -> str:
        """Write config, manifest and index; the image ID, `sha256:…` of the config."""
        config_digest, config_size = self._blob(config.json(layers))
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": config_digest, "size": config_size},
            "layers": [{"mediaType": _LAYER, "digest": layer.digest, "size": layer.size} for layer in layers],
        }
        digest, size = self._blob(manifest)
        index_path = self.root / "index.json"
        known = json.loads(index_path.read_text())["manifests"] if index_path.is_file() else []
        key = "org.opencontainers.image.ref.name"
        known = [item for item in known if item["annotations"][key] != name]
        known.append({"mediaType": _MANIFEST, "digest": digest, "size": size, "annotations": {key: name}})
        self._put(index_path, json.dumps({"schemaVersion": 2, "manifests": known}).encode())
        self._put(self.root / "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        return config_digest

    def load(self, engine: ContainerEngine, name: str, image_id: str) -> None:
        """Copy the image into the engine's store under localhost/palimpsest-<name>; layers that it has are skipped."""
        if engine.image_exists(image_id):
            return
        if (loaded := engine.image_load(self.root, name)) != image_id:
            raise RuntimeError(f"the engine loaded {loaded} where {image_id} was expected")

    def _blob(self, value: Any) -> tuple[str, int]:
        data = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
        name = hashlib.sha256(data).hexdigest()
        self._put(self.blobs / name, data)
        return f"sha256:{name}", len(data)

    @staticmethod
    def _put(path: Path, data: bytes) -> None:
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        partial.write_bytes(data)
        partial.replace(path)
