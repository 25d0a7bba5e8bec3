"""An uploaded image archive, read where it lies: an OCI layout, docker's own form, or both in one tar."""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import Field, RootModel

from evaluator.contract import EvaluationFailed, FailureCode
from evaluator.sandbox.admission import ImageRefused, max_image_bytes, too_large
from evaluator.sandbox.images.image_json import MAX_JSON_BYTES, Descriptor, ImageParts, Part, json_read, one_image
from evaluator.sandbox.images.layer_inspection import CHECK_S, Blob, digest_check
from evaluator.sandbox.images.tar_stream import Member, TarError, members, shown

#: Of the data folder: where the site puts uploads, each under the SHA-256 of its bytes.
UPLOADS = "uploads"

#: Docker's form has four entries a layer.
_MAX_MEMBERS = 2_000
_CHUNK = 1 << 20
_DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_HEX = re.compile(r"(?:^|/)([0-9a-f]{64})(?:\.json)?$")


class _DockerImage(Part):
    Config: str
    Layers: list[str] = Field(max_length=1000)


class _DockerImages(RootModel[list[_DockerImage]]):
    pass


def archive_path(home: Path, sha256: str) -> Path:
    return home / UPLOADS / f"{sha256}.tar"


def archive_read(home: Path, sha256: str) -> ImageParts:
    """The one image of an archive. Raises `ImageRefused`, or `EvaluationFailed(image_unavailable)` if it is not there.

    Nothing is unpacked and no layer is looked into.
    """
    path = archive_path(home, sha256)
    _file_check(path, sha256)
    outer = _Outer(path, _table(path))
    if outer.has("oci-layout") and outer.has("index.json"):
        return _oci(outer)
    if outer.has("manifest.json"):
        return _docker(outer)
    raise ImageRefused(
        "image",
        f"archive@sha256:{sha256}",
        "is neither an OCI archive (index.json) nor a docker archive (manifest.json)",
        "make it with `podman save --format oci-archive -o FILE IMAGE` or `docker save -o FILE IMAGE`",
    )


def _file_check(path: Path, sha256: str) -> None:
    """The file is a plain one, not over the cap, and what its name says."""
    name = f"archive@sha256:{sha256}"
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        problem = f"image {name} is not among the uploads of this machine ({error.strerror}): upload it again"
        raise EvaluationFailed(FailureCode.IMAGE_UNAVAILABLE, problem) from None
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise EvaluationFailed(FailureCode.IMAGE_UNAVAILABLE, f"image {name} is not a plain file")
        if status.st_size > max_image_bytes() + (64 << 20):
            raise ImageRefused(**too_large(status.st_size))
        if file.read(2) == b"\x1f\x8b":
            raise ImageRefused("image", name, "is compressed as a whole", "decompress it (gunzip), and upload the tar")
        file.seek(0)
        found, deadline = hashlib.sha256(), time.monotonic() + CHECK_S
        while data := file.read(_CHUNK):
            found.update(data)
            if time.monotonic() > deadline:
                raise EvaluationFailed(FailureCode.PLATFORM_ERROR, f"{path.name} could not be read in {CHECK_S:g} s")
        digest_check("image", f"sha256:{sha256}", found.hexdigest())


class _FileSource:
    """A file as a source of a tar: passing over is seeking."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        self.position = 0

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.position += len(data)
        return data

    def skip(self, size: int) -> None:
        self.position += size
        if self.position > self._size:
            raise TarError("it ends in the middle of a file")
        self._file.seek(self.position)


def _table(path: Path) -> dict[str, Member]:
    """Every member of the outer tar by its name."""
    found: dict[str, Member] = {}
    try:
        with path.open("rb") as file:
            for member in members(_FileSource(file, path.stat().st_size)):
                name = posixpath.normpath(member.name)
                if name.startswith("/") or ".." in member.name.split("/"):
                    raise TarError(f"`{shown(member.name)}` leads out of the archive")
                if member.kind in ("device", "pipe"):
                    raise TarError(f"`{shown(member.name)}` is a {member.kind}")
                if name in found and member.kind != "folder":
                    raise TarError(f"`{shown(member.name)}` is in it twice")
                if len(found) == _MAX_MEMBERS:
                    raise TarError(f"it has over {_MAX_MEMBERS} members")
                found[name] = member
    except TarError as error:
        raise ImageRefused(
            "image", path.name, f"is no image archive that can be taken: {error}", "save the image again, as one tar"
        ) from None
    return found


@dataclass(frozen=True)
class _Outer:
    """The archive as a table of blobs."""

    path: Path
    table: dict[str, Member]

    def has(self, name: str) -> bool:
        return name in self.table

    def blob(self, name: str, digest: str | None = None) -> Blob:
        """A member as a blob; without `digest`, of what its bytes hash to. Raises `ImageRefused` unless a file."""
        member = self.table.get(posixpath.normpath(name))
        if member is None or member.kind != "file":
            problem = "is not in the archive" if member is None else f"is a {member.kind}, not a file"
            raise ImageRefused("image", shown(name), problem, "save the image again, as one tar")
        blob = Blob(self.path, member.offset, member.size, digest or "")
        return blob if digest else Blob(self.path, member.offset, member.size, blob.hashed())

    def described(self, descriptor: Descriptor) -> Blob:
        blob = self.blob(f"blobs/sha256/{descriptor.digest.removeprefix('sha256:')}", descriptor.digest)
        if blob.size != descriptor.size:
            problem = f"has {blob.size} bytes, and its manifest says {descriptor.size}"
            raise ImageRefused("image", descriptor.digest, problem, "save the image again")
        return blob

    def json(self, name: str) -> bytes:
        return self.blob(name).read(MAX_JSON_BYTES, name)


def _oci(outer: _Outer) -> ImageParts:
    data, manifest = one_image(
        outer.json("index.json"), lambda item: outer.described(item).read(MAX_JSON_BYTES, "manifest")
    )
    return ImageParts(data, outer.described(manifest.config), tuple(map(outer.described, manifest.layers)))


def _docker(outer: _Outer) -> ImageParts:
    """Docker's form has no manifest with digests; one is written from what the bytes hash to."""
    images = json_read(_DockerImages, outer.json("manifest.json"), "manifest.json").root
    if len(images) != 1:
        remedy = "save one image only: `docker save -o FILE IMAGE`"
        raise ImageRefused("image", f"{len(images)} images", "must hold exactly one image", remedy)
    image = images[0]
    hashed = {name: outer.blob(name) for name in dict.fromkeys((image.Config, *image.Layers))}
    config, layers = hashed[image.Config], tuple(hashed[name] for name in image.Layers)
    if (named := _HEX.search(image.Config)) is not None:
        digest_check("config", f"sha256:{named[1]}", config.digest.removeprefix("sha256:"))
    manifest = {
        "schemaVersion": 2,
        "mediaType": _DOCKER_MANIFEST,
        "config": {"mediaType": _DOCKER_CONFIG, "size": config.size, "digest": config.digest},
        "layers": [
            {"mediaType": _DOCKER_LAYER + ".gzip" * blob.is_gzip(), "size": blob.size, "digest": blob.digest}
            for blob in layers
        ],
    }
    return ImageParts(json.dumps(manifest).encode(), config, layers)
