"""Images of strangers, from a real registry and from archives that the engine itself saved, in a store of their own."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evaluator.cli.organiser import _app
from evaluator.contract import EvaluationFailed, FailureCode
from evaluator.sandbox import ImageReport, PodmanSandbox
from evaluator.sandbox.admission import MAX_IMAGE_MB, ImageRefused
from evaluator.sandbox.images import bounded_store as store
from evaluator.sandbox.images.bounded_store import NAME, STORE_MB, BoundedStore
from evaluator.sandbox.images.registry_hosts import LOCAL_REGISTRY
from tests.evaluator.sandbox.archives import docker_files, member, oci_files, tar, upload
from tests.evaluator.sandbox.containers import MANIFEST, SpecMaker, probe_image

pytestmark = pytest.mark.container

MB = 1 << 20


def uploaded(sandbox: PodmanSandbox, image_id: str, form: str, folder: Path) -> str:
    """Save an image as an archive and put it where uploads lie; its reference."""
    path = folder / f"{form}.tar"
    sandbox.engine.run("save", "--quiet", "--format", form, "--output", str(path), image_id.removeprefix("sha256:"))
    return upload(sandbox.home, path.read_bytes())


def pushed(sandbox: PodmanSandbox, layer: bytes, target: str) -> str:
    """Push an image of one layer to a tag; its digest there."""
    reference = upload(sandbox.home, oci_files([layer]))
    archive = sandbox.home / "uploads" / f"{reference[-64:]}.tar"
    command = ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", "--digestfile", str(sandbox.home / "digest")]
    sandbox.engine.tool(*command, f"oci-archive:{archive}", f"docker://{target}", timeout_s=60)
    return (sandbox.home / "digest").read_text()


def small(megabytes: int, seed: int = 0) -> bytes:
    """A layer that does not compress."""
    return tar([("run", b"#!/bin/sh\n"), ("data", random.Random(seed).randbytes(megabytes * MB))])


def fields(report: ImageReport) -> list[str]:
    return [problem["field"] for problem in report.problems]


def names(bounded: BoundedStore) -> list[str]:
    return bounded.engine.run("images", "--all", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, podman: PodmanSandbox) -> Iterator[PodmanSandbox]:
    """A sandbox of its own whose store has room for little."""
    monkeypatch.setenv(STORE_MB, "100")
    monkeypatch.setattr(store, "_RESERVE", 4 * MB)
    sandbox = PodmanSandbox(tmp_path / "home")
    yield sandbox
    sandbox.images.store.close()


@pytest.mark.parametrize("form", ["oci-archive", "docker-archive"])
def test_an_archive_that_the_engine_saved_runs_as_the_image_that_it_is(
    podman: PodmanSandbox, spec: SpecMaker, image: str, tmp_path: Path, form: str
) -> None:
    reference = uploaded(podman, image, form, tmp_path)
    report = podman.inspect(reference, MANIFEST)
    assert (report.ok, report.image, report.image_id) == (True, reference, image)
    with podman.unlearn(
        spec("write", "a.txt", "hello", image=reference), scratch=tmp_path, log=tmp_path / "log"
    ) as ended:
        assert (ended.code, ended.failure) == (0, None)
        assert (ended.out_dir / "a.txt").read_text() == "hello"
    assert podman.images.store.engine.run("ps", "--all", "--quiet").stdout == ""


def test_a_host_that_lost_an_image_loads_it_again_and_says_when_it_cannot(
    podman: PodmanSandbox, spec: SpecMaker, image: str, tmp_path: Path
) -> None:
    reference = uploaded(
        podman, probe_image(podman.home, "probe-lost", env={"WHY": "lost"}), "docker-archive", tmp_path
    )
    wanted = spec("write", image=reference)
    for _ in range(2):
        with podman.unlearn(wanted, scratch=tmp_path, log=tmp_path / "log") as ended:
            assert ended.code == 0
        podman.images.store.engine.run("rmi", f"{NAME}:{reference[-64:]}")
    (podman.home / "uploads" / f"{reference[-64:]}.tar").unlink()
    with (
        pytest.raises(EvaluationFailed) as caught,
        podman.unlearn(wanted, scratch=tmp_path, log=tmp_path / "log"),
    ):
        pass
    assert caught.value.code is FailureCode.IMAGE_UNAVAILABLE


def test_an_archive_with_a_tag_of_ours_does_not_move_it(podman: PodmanSandbox, image: str) -> None:
    tag = f"localhost/palimpsest-probe:{image[7:19]}"
    podman.engine.run("tag", image[7:], tag)
    report = podman.inspect(upload(podman.home, docker_files([small(1)], tag=tag)), MANIFEST)
    assert report.ok
    assert report.image_id != image
    assert podman.engine.image_id(tag) == image[7:]
    assert all(name.startswith(NAME) for name in names(podman.images.store))


def test_a_tag_is_turned_into_the_digest_that_it_stands_for_and_moving_it_changes_nothing(
    podman: PodmanSandbox, registry: str
) -> None:
    tag = f"{registry}/team/probe:latest"
    digest = pushed(podman, small(1, 1), tag)
    first = podman.inspect(tag, MANIFEST)
    assert (first.ok, first.image) == (True, f"{registry}/team/probe@{digest}")
    assert pushed(podman, small(1, 2), tag) != digest
    assert podman.inspect(first.image, MANIFEST).image_id == first.image_id
    with podman.images.held(first.image) as (engine, image_id):
        assert (engine, image_id) == (podman.images.store.engine, first.image_id)
    assert podman.inspect(tag, MANIFEST).image_id != first.image_id
    with pytest.raises(EvaluationFailed) as caught, podman.images.held(tag):
        pass
    assert caught.value.code is FailureCode.IMAGE_UNAVAILABLE


def test_an_image_is_pulled_by_its_digest_unless_it_is_too_large_or_not_there(
    podman: PodmanSandbox, registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = f"{registry}/team/pulled"
    digest = pushed(podman, small(2), f"{target}:1")
    monkeypatch.setenv(MAX_IMAGE_MB, "1")
    assert fields(podman.inspect(f"{target}@{digest}", MANIFEST)) == ["size"]
    monkeypatch.delenv(MAX_IMAGE_MB)
    assert podman.inspect(f"{target}:1@{digest}", MANIFEST).ok
    assert f"{NAME}:{digest[-64:]}" in names(podman.images.store)
    for missing in (f"{target}@sha256:{'0' * 64}", f"{target}:2"):
        with pytest.raises(EvaluationFailed, match="manifest unknown") as caught:
            podman.inspect(missing, MANIFEST)
        assert caught.value.code is FailureCode.IMAGE_UNAVAILABLE


def test_a_registry_of_this_machine_is_asked_only_where_that_is_allowed(
    podman: PodmanSandbox, registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed(podman, small(1), f"{registry}/team/local:1")
    monkeypatch.delenv(LOCAL_REGISTRY)
    report = podman.inspect(f"{registry}/team/local:1", MANIFEST)
    assert fields(report) == ["image"]
    assert "no public address" in report.problems[0]["problem"]


def test_a_full_store_lets_the_image_go_that_was_not_used_for_longest(tiny: PodmanSandbox) -> None:
    references = [upload(tiny.home, oci_files([small(8, seed)])) for seed in range(2)]
    bounded = tiny.images.store
    for number, reference in enumerate(references):
        assert tiny.inspect(reference, MANIFEST).ok
        os.utime(bounded.mount / "used" / reference[-64:], (number, number))
    with bounded.loading():
        bounded.room_make(bounded._free())
    assert names(bounded) == [f"{NAME}:{references[1][-64:]}"]
    engine = bounded.engine
    container = engine.run("create", "--pull", "never", f"{NAME}:{references[1][-64:]}", "sh").stdout.strip()
    with bounded.loading(), pytest.raises(ImageRefused, match="does not fit"):
        bounded.room_make(80 * MB)
    assert names(bounded) == [f"{NAME}:{references[1][-64:]}"]  # a container holds it
    engine.remove(container)


def test_what_does_not_fit_is_refused_and_nothing_of_it_stays(
    tiny: PodmanSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = upload(tiny.home, oci_files([small(1)]))
    assert tiny.inspect(kept, MANIFEST).ok
    bounded = tiny.images.store
    free = shutil.disk_usage(bounded.mount).free
    large = upload(tiny.home, oci_files([small(30)]))
    report = tiny.inspect(large, MANIFEST)
    assert fields(report) == ["size"]
    assert "does not fit" in report.problems[0]["problem"]
    assert list((bounded.mount / "arriving").iterdir()) == []
    assert abs(shutil.disk_usage(bounded.mount).free - free) < 2 * MB
    # and where the sum beforehand was wrong, the file system itself says no
    monkeypatch.setattr(BoundedStore, "room_make", lambda self, needed, held=0: None)
    assert fields(tiny.inspect(upload(tiny.home, oci_files([small(14, n) for n in range(3)])), MANIFEST)) == ["size"]
    assert names(bounded) == []
    assert abs(shutil.disk_usage(bounded.mount).free - free) < 4 * MB
    assert tiny.inspect(kept, MANIFEST).ok


def test_after_a_restart_the_store_is_mounted_again_and_a_damaged_one_is_made_anew(tiny: PodmanSandbox) -> None:
    reference = upload(tiny.home, oci_files([small(1)]))
    image_id = tiny.inspect(reference, MANIFEST).image_id
    bounded = tiny.images.store
    bounded.close()
    assert not bounded.is_open()
    (tiny.home / "uploads" / f"{reference[-64:]}.tar").rename(tiny.home / "kept")
    assert PodmanSandbox(tiny.home).inspect(reference, MANIFEST).image_id == image_id
    assert tiny.inspect(image_id, MANIFEST).image_id == image_id
    bounded.close()
    bounded.file.write_bytes(bytes(100 * MB))
    (tiny.home / "kept").rename(tiny.home / "uploads" / f"{reference[-64:]}.tar")
    assert tiny.inspect(reference, MANIFEST).image_id == image_id


def test_a_load_that_was_killed_leaves_nothing_for_long(tiny: PodmanSandbox) -> None:
    first, second = (upload(tiny.home, oci_files([small(1, seed)])) for seed in (1, 2))
    assert tiny.inspect(first, MANIFEST).ok
    bounded = tiny.images.store
    (bounded.mount / "changing").touch()
    left = bounded.mount / "arriving" / "left"
    left.mkdir()
    assert tiny.inspect(second, MANIFEST).ok
    assert not left.exists()
    assert names(bounded) == [f"{NAME}:{second[-64:]}"]


def test_a_machine_without_loop_devices_uses_a_folder_and_says_so(
    tiny: PodmanSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "file of 100 MB" in tiny.describe()["image_store"]
    monkeypatch.setattr(store, "_can_loop", lambda: False)
    assert "no loop devices" in tiny.describe()["image_store"]
    assert tiny.inspect(upload(tiny.home, oci_files([small(8)])), MANIFEST).ok
    assert not tiny.images.store.file.exists()
    assert fields(tiny.inspect(upload(tiny.home, oci_files([small(48)])), MANIFEST)) == ["size"]


def test_the_command_says_what_to_run_and_refuses_with_every_field(tiny: PodmanSandbox, tmp_path: Path) -> None:
    good = upload(tiny.home, oci_files([small(1)]))
    bad = upload(tiny.home, oci_files([tar([member("../x")])]))
    manifest = tmp_path / "method.json"
    manifest.write_text(MANIFEST.model_dump_json())

    app = _app(["inspect"])

    def inspect(reference: str) -> tuple[int, dict[str, Any]]:
        arguments = ["inspect", "--image", reference, "--manifest", str(manifest)]
        done = CliRunner().invoke(app, arguments, env={"PALIMPSEST_HOME": str(tiny.home)})
        return done.exit_code, json.loads(done.stdout)

    code, report = inspect(good)
    assert (code, report["ok"], report["image"]) == (0, True, good)
    for reference in (bad, f"archive@sha256:{'0' * 64}", "team/x:1"):
        code, report = inspect(reference)
        assert (code, report["ok"]) == (2, False)
        (problem,) = report["problems"]
        assert all(problem[key] for key in ("field", "value", "problem", "remedy"))
