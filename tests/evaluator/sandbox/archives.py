"""Image archives for tests, written by hand so that any part of one can be wrong."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
RUN = {"User": "10001:10001", "Entrypoint": ["/run"], "Env": ["PATH=/bin"]}

Entry = tuple[str, bytes] | tarfile.TarInfo


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", **more: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    for key, value in more.items():
        setattr(info, key, value)
    return info


def tar(entries: Iterable[Entry], form: int = tarfile.GNU_FORMAT) -> bytes:
    """A tar of (name, bytes) and of members that have no bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry)
            else:
                archive.addfile(member(entry[0], size=len(entry[1])), io.BytesIO(entry[1]))
    return out.getvalue()


def gzip_of(pieces: Iterable[bytes]) -> bytes:
    """A gzip stream of pieces that need not be in memory together."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(packer.compress(piece) for piece in pieces), packer.flush()])


def config_of(diff_ids: list[str], **change: Any) -> bytes:
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": RUN | change.pop("config", {}),
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    return json.dumps(config | change).encode()


def oci_files(
    layers: list[bytes],
    diff_ids: list[str] | None = None,
    config: bytes | None = None,
    manifest: dict[str, Any] | None = None,
) -> dict[str, bytes]:
    """The files of an OCI layout; a layer is a tar, or with `diff_ids` whatever stands for one."""
    config = config or config_of(diff_ids or [f"sha256:{sha256(layer)}" for layer in layers])
    blobs = {sha256(data): data for data in (config, *layers)}
    body = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": f"sha256:{sha256(config)}", "size": len(config)},
        "layers": [{"mediaType": LAYER_TYPE, "digest": f"sha256:{sha256(b)}", "size": len(b)} for b in layers],
    }
    text = json.dumps(body | (manifest or {})).encode()
    blobs[sha256(text)] = text
    index = {"schemaVersion": 2, "manifests": [described(text)]}
    return {
        "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
        "index.json": json.dumps(index).encode(),
        **{f"blobs/sha256/{name}": data for name, data in blobs.items()},
    }


def described(manifest: bytes, **more: Any) -> dict[str, Any]:
    return {"mediaType": MANIFEST_TYPE, "digest": f"sha256:{sha256(manifest)}", "size": len(manifest)} | more


def docker_files(layers: list[bytes], config: bytes | None = None, tag: str = "thief:1") -> dict[str, bytes]:
    """The files of docker's own form."""
    config = config or config_of([f"sha256:{sha256(layer)}" for layer in layers])
    name = f"{sha256(config)}.json"
    names = [f"{sha256(layer)}/layer.tar" for layer in layers]
    manifest = [{"Config": name, "RepoTags": [tag], "Layers": names}]
    return {**dict(zip(names, layers, strict=True)), name: config, "manifest.json": json.dumps(manifest).encode()}


def upload(home: Path, data: bytes | dict[str, bytes]) -> str:
    """Put an archive where the site puts uploads; its reference."""
    data = tar(data.items()) if isinstance(data, dict) else data
    name = sha256(data)
    (home / "uploads").mkdir(parents=True, exist_ok=True)
    (home / "uploads" / f"{name}.tar").write_bytes(data)
    return f"archive@sha256:{name}"
