"""Images of strangers, from a registry or an upload: looked through, loaded into their own store, and found again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from evaluator.contract import ARCHIVE_REFERENCE, IMAGE_REFERENCE, EvaluationFailed, Manifest
from evaluator.sandbox.admission import ImageRefused, Problem, image_judge
from evaluator.sandbox.engine_commands.base import ContainerEngine
from evaluator.sandbox.images.archive import archive_read
from evaluator.sandbox.images.image_json import ImageParts, image_read
from evaluator.sandbox.images.layer_inspection import LayerFacts
from evaluator.sandbox.images.registry import image_announced, image_copy, unavailable

_TRIES = 3


class Store(Protocol):
    """Where strangers' images lie, by a key of 64 hex digits; see `bounded_store.BoundedStore`."""

    @property
    def engine(self) -> ContainerEngine: ...

    def kind(self) -> str: ...

    def exists(self) -> bool: ...

    def is_open(self) -> bool: ...

    def open(self) -> None: ...

    def find(self, key: str) -> str | None: ...

    def in_use(self) -> AbstractContextManager[None]: ...

    def arriving(self) -> AbstractContextManager[Path]: ...

    def loading(self) -> AbstractContextManager[None]: ...

    def room_make(self, needed: int, *, held: int = 0) -> None: ...

    def load(self, layout: Path, key: str, image_id: str) -> None: ...


AnyStore = TypeVar("AnyStore", bound=Store)


class Images(Generic[AnyStore]):
    """Every image that a run may name: this machine's own by ID, strangers' by digest and loaded when missing."""

    def __init__(self, engine: ContainerEngine, store: AnyStore) -> None:
        self.engine = engine
        self.store = store

    def engines(self) -> list[ContainerEngine]:
        """Where containers may be: this machine's own images and strangers' can have a store each."""
        apart = self.store.engine is not self.engine and self.store.is_open()
        return [self.engine, *([self.store.engine] if apart else [])]

    @contextmanager
    def held(self, image: str, manifest: Manifest | None = None) -> Iterator[tuple[ContainerEngine, str]]:
        """The engine that has `image`, and its image ID; it stays there until the context closes.

        With `manifest` an image that has to be loaded is judged first. Raises `ImageRefused`, or
        `EvaluationFailed(image_unavailable | platform_error)`.
        """
        if not IMAGE_REFERENCE.match(image):
            raise unavailable(image, "is not a reference by digest: give `sha256:<image ID>` or `NAME@sha256:<digest>`")
        name, at, digest = image.rpartition("@")
        if not at or (name != "archive" and self.engine.image_exists(image)):
            with self.store.in_use():
                yield self._local(image)
            return
        key = digest.removeprefix("sha256:")
        for _ in range(_TRIES):
            with self.store.in_use():
                if (image_id := self.store.find(key)) is not None:
                    yield self.store.engine, image_id
                    return
            self._load(image, key, manifest)
        raise unavailable(image, "was loaded, and made room for others before it could be used")

    def _local(self, image: str) -> tuple[ContainerEngine, str]:
        """Where an image of this machine lies. If no stranger's ever came there is one place, and no need to look."""
        if not image.startswith("sha256:"):
            return self.engine, f"sha256:{self.engine.image_id(image)}"
        if not self.store.exists() or self.engine.image_exists(image):
            return self.engine, image
        self.store.open()
        if self.store.engine.image_exists(image):
            return self.store.engine, image
        raise not_here(image)

    def _load(self, image: str, key: str, manifest: Manifest | None) -> None:
        """Look through an image and load it. What a registry sends is written first, within the store's bounds."""
        archive = ARCHIVE_REFERENCE.match(image)
        if archive:
            parts = archive_read(self.engine.home, archive["sha256"])
            looked = image_look(parts, manifest)
        else:
            announced = image_announced(self.engine, image)
        with self.store.arriving() as layout:
            if not archive:
                self.store.room_make(announced.packed_bytes())
                parts = image_copy(self.engine, announced, layout)
                looked = image_look(parts, manifest)
            with self.store.loading():
                if self.store.find(key) is not None:
                    return
                # skopeo keeps a copy of what it unpacks
                packed = sum(blob.size for blob in parts.layers)
                if archive:
                    self.store.room_make(2 * packed + looked.disk_bytes)
                    _stage(parts, layout)
                else:
                    self.store.room_make(packed + looked.disk_bytes, held=packed)
                self.store.load(layout, key, looked.image_id)


@dataclass(frozen=True)
class Looked:
    """What a look through an image found; `disk_bytes` is what it takes up when unpacked."""

    image_id: str
    disk_bytes: int


def image_look(parts: ImageParts, manifest: Manifest | None) -> Looked:
    """Judge the configuration and look through every layer; every reason that can be found is in the refusal."""
    facts = image_read(parts)
    problems: list[Problem] = list(image_judge(facts.inspection, manifest).problems) if manifest else []
    layers: tuple[LayerFacts, ...] = ()
    try:
        layers = facts.layers_check(parts)
    except ImageRefused as refusal:
        problems += [problem for problem in refusal.problems if problem not in problems]
    if problems:
        raise ImageRefused.of(problems)
    return Looked(facts.image_id, sum(layer.disk_bytes for layer in layers))


def not_here(image: str) -> EvaluationFailed:
    """An image that is named by its ID and was never loaded."""
    return unavailable(
        image, "is not on this machine: load it first, name it as NAME@sha256:<digest>, or upload it as an archive"
    )


def _stage(parts: ImageParts, layout: Path) -> None:
    """Write an image as a folder that skopeo reads as `dir:`: every blob under its digest, by no name of theirs."""
    (layout / "version").write_text("Directory Transport Version: 1.1\n")
    (layout / "manifest.json").write_bytes(parts.manifest)
    for blob in (parts.config, *parts.layers):
        with (layout / blob.digest.removeprefix("sha256:")).open("wb") as target:
            for piece in blob.pieces():
                target.write(piece)
