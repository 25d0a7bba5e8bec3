"""Brings an image from a registry: first what it says it is, then its bytes, always by digest."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluator.contract import IMAGE_TAG, EvaluationFailed, FailureCode
from evaluator.sandbox.admission import ImageRefused, max_image_bytes, too_large
from evaluator.sandbox.engine_commands.base import ContainerEngine, EngineError
from evaluator.sandbox.images.image_json import ImageManifest, ImageParts, one_image
from evaluator.sandbox.images.layer_inspection import Blob, digest_check
from evaluator.sandbox.images.registry_hosts import host_check, host_of, plain_http
from evaluator.sandbox.images.tar_stream import shown

_ASK_S = 60.0
_PULL_S = 1800.0


@dataclass(frozen=True)
class Announced:
    """An image that a registry has: where, and what its manifest says."""

    repository: str
    manifest: bytes
    parsed: ImageManifest

    def packed_bytes(self) -> int:
        return sum(layer.size for layer in self.parsed.layers)


def tag_resolve(engine: ContainerEngine, image: str) -> str:
    """`NAME@sha256:…` of the image that a tag stands for now. Raises `EvaluationFailed(image_unavailable)`."""
    named = IMAGE_TAG.match(image)
    assert named is not None
    host_check(named["host"])
    return f"{named['name']}@sha256:{hashlib.sha256(_raw(engine, image)).hexdigest()}"


def image_announced(engine: ContainerEngine, image: str) -> Announced:
    """What the registry says of `NAME@sha256:…`, from which a list of platforms leads to the image for this machine.

    Raises `EvaluationFailed(image_unavailable)`, or `ImageRefused` when its layers are over the cap.
    """
    name, _, digest = image.partition("@")
    if not (host := host_of(name)):
        raise unavailable(image, "names no registry: write it in full, as registry.example/name@sha256:<digest>")
    host_check(host)
    repository = re.sub(r":[^/]*$", "", name)

    def read(wanted: str) -> bytes:
        data = _raw(engine, f"{repository}@{wanted}")
        digest_check("image", wanted, hashlib.sha256(data).hexdigest())
        return data

    manifest, parsed = one_image(read(digest), lambda item: read(item.digest))
    found = Announced(repository, manifest, parsed)
    if found.packed_bytes() > max_image_bytes():
        raise ImageRefused(**too_large(found.packed_bytes()))
    return found


def configuration_announced(engine: ContainerEngine, image: str) -> dict[str, Any]:
    """The configuration of an image in its registry. Raises `EvaluationFailed(image_unavailable)`."""
    command = ["skopeo", "inspect", "--config", "--raw", *_plain("--tls-verify=false", image), f"docker://{image}"]
    try:
        return dict(json.loads(engine.tool(*command, timeout_s=_ASK_S)))
    except EngineError as error:
        raise unavailable(image, f"could not be found in its registry: {_last_line(error)}") from None
    except (ValueError, TypeError):
        raise unavailable(image, "has a configuration that is not a JSON object") from None


def image_copy(engine: ContainerEngine, announced: Announced, layout: Path) -> ImageParts:
    """Copy an image's blobs into the folder `layout`. Raises `EvaluationFailed(image_unavailable)`."""
    image = f"{announced.repository}@sha256:{hashlib.sha256(announced.manifest).hexdigest()}"
    command = ["skopeo", "copy", "--quiet", *_plain("--src-tls-verify=false", image), f"docker://{image}"]
    try:
        engine.tool(*command, f"dir:{layout}", timeout_s=_PULL_S, temporary=layout)
    except EngineError as error:
        if "no space left on device" in error.output:
            raise ImageRefused(**too_large(announced.packed_bytes())) from None
        raise unavailable(image, f"could not be pulled: {_last_line(error)}") from None
    digest_check(
        "manifest", image.partition("@")[2], hashlib.sha256((layout / "manifest.json").read_bytes()).hexdigest()
    )
    config, *layers = (_blob(layout, item.digest) for item in (announced.parsed.config, *announced.parsed.layers))
    return ImageParts(announced.manifest, config, tuple(layers))


def unavailable(image: str, problem: str) -> EvaluationFailed:
    """`image` cannot be had, because it `problem`."""
    return EvaluationFailed(FailureCode.IMAGE_UNAVAILABLE, f"image {shown(image)} {problem}")


def _blob(layout: Path, digest: str) -> Blob:
    path = layout / digest.removeprefix("sha256:")
    return Blob(path, 0, path.stat().st_size, digest)


def _raw(engine: ContainerEngine, image: str) -> bytes:
    """The bytes of a manifest or index as the registry gives them."""
    command = ["skopeo", "inspect", "--raw", *_plain("--tls-verify=false", image), f"docker://{image}"]
    try:
        return engine.tool(*command, timeout_s=_ASK_S)
    except EngineError as error:
        raise unavailable(image, f"could not be found in its registry: {_last_line(error)}") from None


def _plain(flag: str, image: str) -> list[str]:
    return [flag] if plain_http(host_of(image)) else []


def _last_line(error: EngineError) -> str:
    return error.output.splitlines()[-1][-300:] if error.output else str(error)
