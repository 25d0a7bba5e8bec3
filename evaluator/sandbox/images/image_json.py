"""The JSON of an image: index, manifest and configuration, and the one image of an index that runs on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evaluator.sandbox.admission import ImageRefused, layers_wrong, machine_architecture
from evaluator.sandbox.images.layer_inspection import Blob, Budget, LayerFacts, layer_check
from evaluator.sandbox.images.tar_stream import shown

MAX_JSON_BYTES = 4 << 20
_MAX_DEPTH = 3

_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_CONFIGS = ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class Part(BaseModel):
    """A piece of such JSON: what is not asked for is passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Platform(Part):
    """What an entry of an index says that it runs on."""

    architecture: str = ""
    os: str = ""


class Descriptor(Part):
    """One blob, as a manifest or an index names it."""

    digest: Digest
    size: int = Field(ge=0, lt=2**50)
    media_type: str = Field(default="", alias="mediaType")
    platform: Platform | None = None
    annotations: dict[str, str] | None = None
    urls: list[str] | None = None


class Index(Part):
    """An OCI index or a Docker manifest list."""

    manifests: list[Descriptor] = Field(max_length=1000)
    media_type: str = Field(default="", alias="mediaType")


class ImageManifest(Part):
    """An OCI or Docker manifest of one image."""

    config: Descriptor
    layers: list[Descriptor] = Field(max_length=1000)
    media_type: str = Field(default="", alias="mediaType")


class _Root(Part):
    diff_ids: list[Digest] = Field(max_length=1000)


class _Run(Part):
    User: str | None = None
    Env: list[str] | None = None
    Entrypoint: list[str] | None = None


class ConfigFile(Part):
    """An image's configuration: the part that is judged."""

    architecture: str = ""
    os: str = ""
    config: _Run | None = None
    rootfs: _Root


Model = TypeVar("Model", bound=BaseModel)


def json_read(model: type[Model], data: bytes, field: str) -> Model:
    """`data` as `model`. Raises `ImageRefused` that names `field` and the first fault."""
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        problem = f"is not what the image format asks for: {where + ': ' if where else ''}{fault['msg']}"
        raise ImageRefused(field, shown(data[:60]), problem, "build and save the image again") from None


@dataclass(frozen=True)
class ImageParts:
    """One image: its manifest as it is stored, its configuration and its layers, base first."""

    manifest: bytes
    config: Blob
    layers: tuple[Blob, ...]


@dataclass(frozen=True)
class ImageFacts:
    """A configuration that was read, and layers that were looked through."""

    image_id: str
    inspection: dict[str, Any]  # in the form of `podman image inspect`
    diff_ids: tuple[str, ...]

    def layers_check(self, parts: ImageParts) -> tuple[LayerFacts, ...]:
        """Look through every layer within one budget. Raises `ImageRefused`."""
        if wrong := layers_wrong(len(self.diff_ids)):
            raise ImageRefused(**wrong)
        budget = Budget()
        known: dict[tuple[str, str], LayerFacts] = {}
        found = []
        for number, (blob, diff_id) in enumerate(zip(parts.layers, self.diff_ids, strict=True)):
            facts = known.get((blob.digest, diff_id))
            if facts is None:
                facts = known[blob.digest, diff_id] = layer_check(blob, number, diff_id, budget)
            else:  # the same layer again takes its room again
                budget.spend(facts.unpacked_bytes)
                budget.entries(facts.entries)
            found.append(facts)
        return tuple(found)


def image_read(parts: ImageParts) -> ImageFacts:
    """The configuration of an image, whose hash is the image ID. Raises `ImageRefused`."""
    data = parts.config.read(MAX_JSON_BYTES, "config")
    config = json_read(ConfigFile, data, "config")
    diff_ids = tuple(config.rootfs.diff_ids)
    if len(diff_ids) != len(parts.layers):
        raise ImageRefused(
            "rootfs.diff_ids",
            str(len(diff_ids)),
            f"names another number of layers than the manifest, which has {len(parts.layers)}",
            "build and save the image again",
        )
    image_id = f"sha256:{hashlib.sha256(data).hexdigest()}"
    run = config.config or _Run()
    inspection = {
        "Id": image_id,
        "Architecture": config.architecture,
        "Os": config.os,
        "Size": sum(blob.size for blob in parts.layers),
        "Config": run.model_dump(),
        "RootFS": {"Layers": list(diff_ids)},
    }
    return ImageFacts(image_id, inspection, diff_ids)


def manifest_check(manifest: ImageManifest) -> None:
    """Refuse what names no image, or layers that lie elsewhere."""
    remedy = "build it as an ordinary image, and save or push it again"
    if manifest.config.media_type not in _CONFIGS:
        raise ImageRefused("manifest.config", shown(manifest.config.media_type), "is not an image's", remedy)
    for number, layer in enumerate(manifest.layers):
        if layer.urls or "tar" not in layer.media_type or "encrypted" in layer.media_type:
            problem = "is not a plain layer of this image"
            raise ImageRefused(f"layers[{number}]", shown(layer.media_type), problem, remedy)


def one_image(data: bytes, read: Callable[[Descriptor], bytes]) -> tuple[bytes, ImageManifest]:
    """The manifest that `data`, a manifest or an index, leads to: the only one, or the only one for this machine.

    `read` gives the bytes of an index or manifest by its descriptor. Raises `ImageRefused` when there is none or more
    than one.
    """
    for _ in range(_MAX_DEPTH):
        kind = json_read(_Typed, data, "index")
        if kind.media_type in _MANIFESTS or (not kind.media_type and kind.layers is not None):
            manifest = json_read(ImageManifest, data, "manifest")
            manifest_check(manifest)
            return data, manifest
        if kind.media_type and kind.media_type not in _INDEXES:
            problem = "is neither an image nor an index of images"
            raise ImageRefused("image", shown(kind.media_type), problem, "save or push an ordinary image")
        data = read(_only(json_read(Index, data, "index")))
    raise ImageRefused("index", f"{_MAX_DEPTH} levels", "is nested too deeply", "save one image")


def _only(index: Index) -> Descriptor:
    # What a build says about itself stands beside the image, and a tag more names the same image again.
    images = {
        item.digest: item for item in index.manifests if "vnd.docker.reference.type" not in (item.annotations or {})
    }
    here = machine_architecture()
    wanted = Platform(architecture=here, os="linux")
    found = [item for item in images.values() if item.platform == wanted] or list(images.values())
    if len(found) != 1:
        raise ImageRefused(
            "image",
            f"{len(found)} images",
            f"must hold exactly one image, or exactly one for linux/{here}",
            f"save or push one image only, built with --platform linux/{here}",
        )
    return found[0]


class _Typed(Part):
    media_type: str = Field(default="", alias="mediaType")
    layers: list[Any] | None = None
