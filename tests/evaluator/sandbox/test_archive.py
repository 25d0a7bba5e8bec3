"""An uploaded archive is looked through before anything is loaded, and each way to lie in one has its refusal."""

from __future__ import annotations

import json
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evaluator.contract import ARCHIVE_REFERENCE, EvaluationFailed, FailureCode
from evaluator.sandbox.admission import MAX_IMAGE_MB, MAX_LAYERS, ImageRefused
from evaluator.sandbox.images import layer_inspection as blobs
from evaluator.sandbox.images.archive import archive_read
from evaluator.sandbox.images.submitted import Looked, image_look
from tests.evaluator.sandbox.archives import (
    Entry,
    config_of,
    described,
    docker_files,
    gzip_of,
    member,
    oci_files,
    sha256,
    tar,
    upload,
)
from tests.evaluator.sandbox.containers import MANIFEST

LAYER = tar([member("usr", tarfile.DIRTYPE), ("usr/run", b"#!/bin/sh\n"), member("run", tarfile.SYMTYPE, "/usr/run")])
MB = 1 << 20


def look(home: Path, reference: str) -> Looked:
    named = ARCHIVE_REFERENCE.match(reference)
    assert named is not None
    return image_look(archive_read(home, named["sha256"]), MANIFEST)


def refused(home: Path, archive: bytes | dict[str, bytes]) -> tuple[str, str]:
    """The field and the problem of the one reason for which an archive is refused."""
    with pytest.raises(ImageRefused) as caught:
        look(home, upload(home, archive))
    (problem,) = caught.value.problems
    assert all(problem[key] for key in ("field", "value", "problem", "remedy"))
    assert "\n" not in json.dumps(dict(problem))[1:-1].replace("\\\\n", "")
    return problem["field"], f"{problem['value']} {problem['problem']}"


@pytest.mark.parametrize(
    "files",
    [
        oci_files([LAYER]),
        oci_files([gzip_of([LAYER])], [f"sha256:{sha256(LAYER)}"]),
        oci_files([gzip_of([LAYER[:700]]) + gzip_of([LAYER[700:]])], [f"sha256:{sha256(LAYER)}"]),
        docker_files([LAYER]),
        docker_files([LAYER]) | oci_files([LAYER]),
    ],
    ids=["oci", "oci with gzip", "oci with gzip in parts", "docker", "docker 25, both forms"],
)
def test_each_form_of_an_archive_gives_the_same_image(tmp_path: Path, files: dict[str, bytes]) -> None:
    looked = look(tmp_path, upload(tmp_path, files))
    assert looked.image_id == f"sha256:{sha256(config_of([f'sha256:{sha256(LAYER)}']))}"
    assert 3 * 4096 <= looked.disk_bytes <= 8 * 4096


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_and_other_headers_are_read_in_every_form_of_tar(tmp_path: Path, form: int) -> None:
    names = [f"{'deep/' * 25}file", "d/" + "n" * 90] + ([] if form == tarfile.USTAR_FORMAT else [f"ü{'x' * 300}"])
    layer = tar(((name, b"x") for name in names), form)
    assert look(tmp_path, upload(tmp_path, oci_files([layer]))).disk_bytes == len(names) * 2 * 4096


def test_every_reason_of_a_configuration_is_given_at_once(tmp_path: Path) -> None:
    bad = {"User": "root", "Env": ["LD_PRELOAD=/x"], "Entrypoint": None}
    config = config_of([f"sha256:{sha256(LAYER)}"], architecture="arm64", config=bad)
    with pytest.raises(ImageRefused) as caught:
        look(tmp_path, upload(tmp_path, oci_files([LAYER], config=config)))
    fields = {problem["field"] for problem in caught.value.problems}
    assert fields == {"user", "architecture", "env.LD_PRELOAD", "entrypoint"}


def test_an_archive_that_is_not_there_or_no_file_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / f"{'b' * 64}.tar").symlink_to("/etc/passwd")
    for letter in "ab":
        with pytest.raises(EvaluationFailed) as caught:
            archive_read(tmp_path, letter * 64)
        assert caught.value.code is FailureCode.IMAGE_UNAVAILABLE


def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path) -> None:
    reference = upload(tmp_path, oci_files([LAYER]))
    path = tmp_path / "uploads" / f"{reference[-64:]}.tar"
    path.write_bytes(path.read_bytes() + bytes(512))
    with pytest.raises(ImageRefused, match="damaged"):
        look(tmp_path, reference)


def _bomb() -> bytes:
    """Sixteen gigabytes of zeros in 16 MB."""
    return gzip_of([member("zeros", size=1 << 34).tobuf(tarfile.GNU_FORMAT)]) + gzip_of([bytes(MB)]) * (1 << 14)


def test_a_bomb_of_zeros_stops_at_the_cap_and_costs_neither_disk_nor_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MAX_IMAGE_MB, "64")
    bomb = _bomb()
    reference = upload(tmp_path, oci_files([bomb], ["sha256:" + "0" * 64]))
    before = sorted(tmp_path.rglob("*"))
    tracemalloc.start()
    try:
        with pytest.raises(ImageRefused) as caught:
            look(tmp_path, reference)
        assert tracemalloc.get_traced_memory()[1] < 16 * MB
    finally:
        tracemalloc.stop()
    (problem,) = caught.value.problems
    assert (problem["field"], problem["value"]) == ("size", "64 MB")  # and not the 16 GB that would have come
    assert sorted(tmp_path.rglob("*")) == before


def test_a_layer_used_often_counts_as_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MAX_IMAGE_MB, "10")
    layer = tar([("zeros", bytes(4 * MB))])
    packed = gzip_of([layer])
    with pytest.raises(ImageRefused, match="size"):
        look(tmp_path, upload(tmp_path, oci_files([packed] * 3, [f"sha256:{sha256(layer)}"] * 3)))


def test_a_million_tiny_entries_stop_at_the_cap(tmp_path: Path) -> None:
    header = member("a/b").tobuf(tarfile.GNU_FORMAT)
    bomb = gzip_of([header * 1000]) * 1000
    assert len(bomb) < 4 * MB
    budget = blobs.Budget(entries_left=20_000)
    with pytest.raises(ImageRefused) as caught:
        blobs.layer_check(blobs.Blob(_file(tmp_path, bomb), 0, len(bomb), ""), 0, "", budget)
    assert caught.value.problems[0]["field"] == "entries"
    assert budget.entries_left == -1


def test_a_look_ends_in_time(tmp_path: Path) -> None:
    bomb = gzip_of([b""]) * 20_000
    with pytest.raises(ImageRefused, match="longer"):
        blobs.layer_check(blobs.Blob(_file(tmp_path, bomb), 0, len(bomb), ""), 0, "", blobs.Budget(deadline=0.0))


def test_a_configuration_of_100_mb_is_not_read(tmp_path: Path) -> None:
    config = config_of([f"sha256:{sha256(LAYER)}"])[:-1] + b" " * (100 * MB) + b"}"
    field, problem = refused(tmp_path, oci_files([LAYER], config=config))
    assert field == "config"
    assert "is over" in problem


def test_json_that_is_nested_without_end_is_refused(tmp_path: Path) -> None:
    files = oci_files([LAYER])
    assert refused(tmp_path, files | {"index.json": b'{"manifests": ' + b"[" * 100_000})[0] == "index"


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ([member("dev/sda", tarfile.BLKTYPE)], "is a device"),
        ([member("dev/null", tarfile.CHRTYPE)], "is a device"),
        ([("/etc/passwd", b"x")], "absolute name"),
        ([("a/../../etc/passwd", b"x")], "leads out"),
        ([member("a", tarfile.LNKTYPE, "../../etc/shadow")], "leads out"),
        ([member("a/b", tarfile.SYMTYPE, "../../etc/shadow")], "leads out"),
        ([member("big", tarfile.GNUTYPE_SPARSE)], "is a sparse file"),
        ([member("big", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"})], "is a sparse file"),
        ([member("a", b"Z")], "unknown type"),
        ([member("a\x1b[31m\n", tarfile.CHRTYPE)], r"a\\x1b[31m\\n"),
    ],
)
def test_what_a_layer_may_not_hold_is_refused_by_name(
    tmp_path: Path, entries: list[tarfile.TarInfo], problem: str
) -> None:
    field, said = refused(tmp_path, oci_files([tar(entries, tarfile.PAX_FORMAT)]))
    assert field == "layers[0]"
    assert problem.replace(r"\\", "\\") in said


def test_links_inside_an_image_are_fine(tmp_path: Path) -> None:
    links: list[Entry] = [
        ("a/file", b"x"),
        member("a/b", tarfile.SYMTYPE, "../etc"),
        member("c", tarfile.LNKTYPE, "a/file"),
    ]
    assert look(tmp_path, upload(tmp_path, oci_files([tar([*links, member("d", tarfile.SYMTYPE, "/etc")])]))).image_id


@pytest.mark.parametrize(
    ("layer", "problem"),
    [
        (gzip_of([LAYER])[:-9], "end too early"),
        (gzip_of([LAYER]).replace(b"\x1f\x8b", b"\x1f\x8b\xff", 1), "damaged"),
        (gzip_of([LAYER]) + b"more", "damaged"),
        (b"\x28\xb5\x2f\xfd" + bytes(600), "zstd"),
        (LAYER[:1000], "ends in the middle"),
        (LAYER + b"x" * 512, "something follows"),
        (b"\0" * 148 + b"7" * 300 + bytes(64), "checksum"),
        (b"not a tar", "ends in the middle"),
        (member("x", tarfile.XHDTYPE, size=1 << 30).tobuf(tarfile.GNU_FORMAT), "header of 1073741824 bytes"),
    ],
    ids=["cut", "gzip", "after gzip", "zstd", "cut tar", "after the end", "checksum", "text", "header"],
)
def test_a_layer_that_cannot_be_read_to_its_end_is_refused(tmp_path: Path, layer: bytes, problem: str) -> None:
    field, said = refused(tmp_path, oci_files([layer], [f"sha256:{sha256(LAYER)}"]))
    assert field == "layers[0]"
    assert problem in said


def test_a_layer_that_is_not_what_its_digest_says_is_refused(tmp_path: Path) -> None:
    files = oci_files([LAYER])
    other = tar(
        [("usr/run", b"#!/bin/no\n"), member("usr", tarfile.DIRTYPE), member("run", tarfile.SYMTYPE, "/usr/run")]
    )
    name = f"blobs/sha256/{sha256(LAYER)}"
    with pytest.raises(ImageRefused, match=r"layers\[0\]: is damaged"):
        look(tmp_path, upload(tmp_path, files | {name: other}))
    with pytest.raises(ImageRefused, match=r"diff_ids\[0\]: is damaged"):
        look(tmp_path, upload(tmp_path, oci_files([LAYER], ["sha256:" + "0" * 64])))


def _with(change: Callable[[dict[str, Any]], None]) -> dict[str, bytes]:
    files = oci_files([LAYER])
    index = json.loads(files["index.json"])
    change(index)
    return files | {"index.json": json.dumps(index).encode()}


def test_an_archive_of_several_images_is_refused_unless_one_is_for_this_machine(tmp_path: Path) -> None:
    one, two = oci_files([LAYER]), oci_files([tar([("other", b"x")])])
    first, second = (json.loads(files["index.json"])["manifests"][0] for files in (one, two))
    index = {"schemaVersion": 2, "manifests": [first, second]}
    both = one | two | {"index.json": json.dumps(index).encode()}
    assert "exactly one image" in refused(tmp_path, both)[1]
    first["platform"], second["platform"] = (
        {"os": "linux", "architecture": "amd64"},
        {"os": "linux", "architecture": "arm64"},
    )
    both["index.json"] = json.dumps(index).encode()
    assert look(tmp_path, upload(tmp_path, both)) == look(tmp_path, upload(tmp_path, one))
    del first["platform"]
    items = json.loads(docker_files([LAYER])["manifest.json"])
    assert (
        "exactly one image"
        in refused(tmp_path, docker_files([LAYER]) | {"manifest.json": json.dumps(items * 2).encode()})[1]
    )


def test_an_index_inside_an_index_and_notes_of_the_build_are_understood(tmp_path: Path) -> None:
    files = oci_files([LAYER])
    index = json.loads(files["index.json"])
    note = described(b"{}", annotations={"vnd.docker.reference.type": "attestation-manifest"})
    inner = json.dumps({**index, "manifests": [*index["manifests"], note]}).encode()
    outer = {"manifests": [described(inner) | {"mediaType": "application/vnd.oci.image.index.v1+json"}]}
    files |= {f"blobs/sha256/{sha256(inner)}": inner, "index.json": json.dumps(outer).encode()}
    assert look(tmp_path, upload(tmp_path, files)).image_id


def test_too_many_layers_are_refused_before_they_fail_to_start(tmp_path: Path) -> None:
    layers = [tar([(f"f{n}", b"x")]) for n in range(MAX_LAYERS + 1)]
    assert refused(tmp_path, oci_files(layers))[0] == "layers"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_blob_that_is_a_link_is_refused_by_name(tmp_path: Path, kind: bytes) -> None:
    files = oci_files([LAYER])
    name = f"blobs/sha256/{sha256(LAYER)}"
    del files[name]
    field, problem = refused(tmp_path, tar([*files.items(), member(name, kind, "/etc/shadow")]))
    assert field == "image"
    assert name in problem
    assert "link, not a file" in problem


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (lambda name: [(name, LAYER)], "twice"),
        (lambda name: [(f"./{name}", LAYER)], "twice"),
        (lambda name: [("../index.json", b"{}")], "leads out"),
        (lambda name: [("/index.json", b"{}")], "leads out"),
        (lambda name: [member("disk", tarfile.BLKTYPE)], "is a device"),
        (lambda name: [member("pipe", tarfile.FIFOTYPE)], "is a pipe"),
        (lambda name: [member("sparse", tarfile.GNUTYPE_SPARSE)], "sparse"),
        (lambda name: [(f"f{n}", b"") for n in range(2001)], "over 2000 members"),
    ],
    ids=["twice", "twice by another path", "parent", "absolute", "device", "pipe", "sparse", "many"],
)
def test_what_an_archive_may_not_hold_is_refused_by_name(
    tmp_path: Path, more: Callable[[str], list[Any]], problem: str
) -> None:
    files = oci_files([LAYER])
    entries = [*files.items(), *more(f"blobs/sha256/{sha256(LAYER)}")]
    assert problem in refused(tmp_path, tar(entries))[1]


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"readme": b"hello"}, "neither an OCI archive"),
        (gzip_of([tar([("a", b"b")])]), "compressed as a whole"),
        (b"hello" * 500, "not a tar"),
        (oci_files([LAYER], config=b"[]"), "not what the image format asks for"),
        (oci_files([LAYER], ["sha256:" + "0" * 64] * 2), "another number of layers"),
        (oci_files([LAYER], manifest={"layers": []}), "another number of layers"),
        (
            oci_files([LAYER], manifest={"mediaType": "application/vnd.docker.manifest.v1"}),
            "neither an image",
        ),
        (oci_files([LAYER], manifest={"config": described(b"{}")}), "is not an image's"),
        (_with(lambda index: index.update(manifests=[])), "exactly one image"),
        (_with(lambda index: index["manifests"][0].update(digest="sha256:../../etc/passwd")), "manifests.0.digest"),
        (_with(lambda index: index["manifests"][0].update(digest="sha256:" + "0" * 64)), "is not in the archive"),
        (_with(lambda index: index["manifests"][0].update(size=3)), "its manifest says 3"),
    ],
)
def test_what_is_no_image_is_refused_with_a_reason(
    tmp_path: Path, files: bytes | dict[str, bytes], problem: str
) -> None:
    assert problem in refused(tmp_path, files)[1]


def _file(folder: Path, data: bytes) -> Path:
    path = folder / "layer"
    path.write_bytes(data)
    return path
