"""Uploads by the tus protocol: what each request is answered, and what stays on the disk."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from leaderboard.uploads import files
from leaderboard.uploads.models import Upload, UploadState
from leaderboard.uploads.services import upload_finish, uploads_sweep
from tests.leaderboard.uploads.conftest import ADDRESS, PIECE, Tus, archive_make, base64_of, metadata, sum_of

pytestmark = pytest.mark.django_db
DATA = archive_make()


def only() -> Upload:
    return Upload.objects.get()


def problem_of(answer: Any) -> dict[str, str]:
    assert set(answer.json()) == {"errors"}
    (problem,) = answer.json()["errors"]
    assert set(problem) == {"field", "value", "problem", "remedy"} and problem["remedy"]
    return dict(problem)


def test_the_server_says_what_it_can_do(tus: Tus, settings: Any) -> None:
    answer = tus.http.options(ADDRESS, headers={"Authorization": f"Token {tus.token}"})
    assert answer.status_code == 204
    assert answer["Tus-Version"] == answer["Tus-Resumable"] == "1.0.0"
    assert set(answer["Tus-Extension"].split(",")) >= {"creation", "checksum", "termination", "expiration"}
    assert answer["Tus-Max-Size"] == str(settings.UPLOAD_MAX_MB * 1_000_000)
    assert "sha256" in answer["Tus-Checksum-Algorithm"]


def test_what_it_can_do_is_said_to_who_has_no_token(client: Client) -> None:
    for headers in ({}, {"Authorization": "Token nonsense"}):
        answer = client.options(ADDRESS, headers=headers)
        assert answer.status_code == 204
        assert answer["Tus-Version"] == "1.0.0"
    assert client.get(ADDRESS).status_code == 401


def test_metadata_of_a_client_comes_back_as_it_was_sent(tus: Tus) -> None:
    given = f"project {base64_of(b'palimpsest')},is_confidential,raw {base64_of(bytes(range(256)))}"
    for sent in (given, f"filename {base64_of(b'../x.tar')},{given}"):
        path = tus.create(len(DATA), Upload_Metadata=sent)["Location"].removeprefix("http://testserver")
        assert tus.http.head(path, headers=tus.headers())["Upload-Metadata"] == sent


def test_another_method_can_be_named_in_a_header(tus: Tus) -> None:
    path = tus.open(DATA)
    headers = tus.headers(Upload_Offset="0", X_HTTP_Method_Override="PATCH")
    answer = tus.http.post(path, data=DATA[:5_000], content_type=PIECE, headers=headers)
    assert (answer.status_code, answer["Upload-Offset"]) == (204, "5000")
    answer = tus.http.post(path, headers=tus.headers(X_HTTP_Method_Override="HEAD"), content_type="text/plain")
    assert (answer.status_code, answer["Upload-Offset"]) == (200, "5000")
    answer = tus.http.post(path, headers=tus.headers(X_HTTP_Method_Override="DELETE"), content_type="text/plain")
    assert answer.status_code == 204
    answer = tus.http.post(path, headers=tus.headers(X_HTTP_Method_Override="PURGE"), content_type="text/plain")
    assert answer.status_code == 405


def test_a_session_needs_the_csrf_token_whatever_method_is_named(user: Any) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)
    for sent in (browser.get, browser.post):
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "5", "X-HTTP-Method-Override": "POST"}
        assert sent(ADDRESS, headers=headers).status_code == 403
    assert not Upload.objects.exists()


def test_a_file_comes_in_pieces_and_ends_under_its_hash(tus: Tus) -> None:
    sha256 = hashlib.sha256(DATA).hexdigest()
    answer = tus.create(len(DATA), Upload_Metadata=metadata(filename="../../etc/my image.tar"))
    assert answer.status_code == 201
    assert answer["Upload-Expires"].endswith("GMT")
    path = answer["Location"].removeprefix("http://testserver")
    assert tus.offset(path) == 0
    for at in range(0, len(DATA), 9_000):
        piece = tus.patch(path, DATA[at : at + 9_000], at)
        assert piece.status_code == 204
        assert int(piece["Upload-Offset"]) == tus.offset(path) == min(at + 9_000, len(DATA))
    assert tus.state(path)["state"] == "CHECKING"
    assert tus.state(path)["image"] == ""
    upload_finish(upload_id=only().id)
    state = tus.state(path)
    assert (state["state"], state["sha256"], state["image"]) == ("COMPLETE", sha256, f"archive@sha256:{sha256}")
    assert state["filename"] == "my image.tar"
    stored = files.archive_path(sha256)
    assert stored.read_bytes() == DATA
    assert stored.stat().st_mode & 0o777 == 0o644
    assert stored.parent.stat().st_mode & 0o007 == 0
    assert list((stored.parent / "incoming").iterdir()) == []
    assert upload_finish(upload_id=only().id) is None


def test_the_first_bytes_may_come_with_the_creation(tus: Tus) -> None:
    headers = tus.headers(Upload_Length=str(len(DATA)))
    answer = tus.http.post(ADDRESS, data=DATA[:5_000], content_type=PIECE, headers=headers)
    assert (answer.status_code, answer["Upload-Offset"]) == (201, "5000")
    garbage = tus.http.post(ADDRESS, data=b"x" * 5_000, content_type=PIECE, headers=headers)
    assert garbage.status_code == 400
    assert Upload.objects.filter(state=UploadState.REMOVED).count() == 1, "nobody knows its address"


def test_a_wrong_offset_is_a_409_and_writes_nothing(tus: Tus) -> None:
    path = tus.open(DATA)
    tus.patch(path, DATA[:7_000], 0)
    for offset in (0, 6_999, 7_001):
        answer = tus.patch(path, DATA[7_000:9_000], offset)
        assert answer.status_code == 409
        assert "7000" in problem_of(answer)["problem"]
    assert tus.offset(path) == 7_000


@pytest.mark.parametrize("algorithm", ["sha256", "sha1"])
def test_a_piece_with_its_checksum_is_taken_and_one_with_another_is_a_460(tus: Tus, algorithm: str) -> None:
    path = tus.open(DATA)
    piece = DATA[:7_000]
    assert tus.patch(path, piece, 0, Upload_Checksum=sum_of(piece, algorithm)).status_code == 204
    answer = tus.patch(path, DATA[7_000:9_000], 7_000, Upload_Checksum=sum_of(piece, algorithm))
    assert (answer.status_code, answer.reason_phrase) == (460, "Checksum Mismatch")
    assert problem_of(answer)["field"] == "Upload-Checksum"
    assert tus.offset(path) == 7_000
    assert len(list((files.uploads_folder() / "incoming").iterdir())) == 1


def test_a_file_that_hashes_to_something_else_than_promised_is_refused(tus: Tus) -> None:
    path = tus.send(DATA, sha256="a" * 64)
    upload_finish(upload_id=only().id)
    state = tus.state(path)
    assert state["state"] == "REFUSED"
    assert state["problems"][0]["field"] == "sha256"
    assert list(files.uploads_folder().glob("*.tar")) == []
    assert tus.http.head(path, headers=tus.headers()).status_code == 410


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"Tus-Resumable": "0.2.2"}, 412, "Tus-Resumable"),
        ({"Tus-Resumable": ""}, 412, "Tus-Resumable"),
        ({"Upload-Offset": "-1"}, 400, "Upload-Offset"),
        ({"Upload-Offset": ""}, 400, "Upload-Offset"),
        ({"Upload-Checksum": "md5 AAAA"}, 400, "Upload-Checksum"),
        ({"Upload-Checksum": "sha256 ???"}, 400, "Upload-Checksum"),
        ({"Content-Type": "application/json"}, 415, "Content-Type"),
    ],
)
def test_a_request_that_breaks_the_protocol_is_named(tus: Tus, change: dict[str, str], status: int, field: str) -> None:
    path = tus.open(DATA)
    headers = tus.headers(Upload_Offset="0") | change
    answer = tus.http.patch(path, data=DATA[:100], content_type=headers.pop("Content-Type", PIECE), headers=headers)
    assert answer.status_code == status
    assert problem_of(answer)["field"] == field
    assert answer["Tus-Resumable"] == "1.0.0"
    assert tus.offset(path) == 0


def test_a_piece_without_a_length_is_a_411(tus: Tus) -> None:
    path = tus.open(DATA)
    answer = tus.http.generic("PATCH", path, CONTENT_TYPE=PIECE, headers=tus.headers(Upload_Offset="0"))
    assert answer.status_code == 411


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"Upload_Length": ""}, "Upload-Length"),
        ({"Upload_Length": "many"}, "Upload-Length"),
        ({"Upload_Length": "12"}, "size"),
        ({"Upload_Metadata": "filename ?"}, "Upload-Metadata"),
        ({"Upload_Metadata": f"a {base64_of(b'x')},a"}, "Upload-Metadata"),
        ({"Upload_Metadata": f"filename {base64_of(bytes([255]))}"}, "Upload-Metadata"),
        ({"Upload_Metadata": f"a {base64_of(bytes(4_000))}"}, "Upload-Metadata"),
        ({"Upload_Metadata": metadata(filename="a\x07b.tar")}, "filename"),
        ({"Upload_Metadata": metadata(sha256="ABC")}, "sha256"),
        ({"Upload_Metadata": metadata(fingerprint="f" * 201)}, "fingerprint"),
    ],
)
def test_a_creation_that_says_nonsense_is_a_400(tus: Tus, changes: dict[str, str], field: str) -> None:
    headers = tus.headers(**({"Upload_Length": str(len(DATA))} | changes))
    answer = tus.http.post(ADDRESS, headers=headers, content_type="text/plain")
    assert answer.status_code == 400
    assert problem_of(answer)["field"] == field
    assert not Upload.objects.exists()


def test_more_bytes_than_promised_are_a_413(tus: Tus) -> None:
    path = tus.open(DATA)
    assert tus.patch(path, DATA + b"x", 0).status_code == 413
    assert tus.offset(path) == 0
    assert tus.patch(path, DATA, 0).status_code == 204
    assert tus.patch(path, b"x", len(DATA)).status_code == 409


@pytest.mark.parametrize(
    ("head", "remedy"),
    [
        (gzip.compress(DATA), "gunzip"),
        (b"PK\x03\x04" + bytes(1000), "docker save"),
        (b"x" * 2000, "docker save"),
        (DATA[:100] + b"y" + DATA[101:2000], "docker save"),  # the magic is there, the header's sum is wrong
    ],
)
@pytest.mark.parametrize("piece", [1_000, 100])
def test_what_is_no_tar_is_refused_with_its_first_bytes(tus: Tus, head: bytes, remedy: str, piece: int) -> None:
    path = tus.open(DATA)
    for at in range(0, 600, piece):
        answer = tus.patch(path, head.ljust(2000, b"\0")[at : at + piece], at)
        if answer.status_code != 204:
            break
    assert answer.status_code == 400
    assert remedy in problem_of(answer)["remedy"]
    assert files.part_length(only().id) is None
    assert tus.patch(path, DATA, 0).status_code == 410
    assert tus.state(path)["state"] == "REFUSED"


def test_discarding_removes_the_bytes_and_frees_the_place(tus: Tus) -> None:
    path = tus.open(DATA)
    tus.patch(path, DATA[:7_000], 0)
    assert tus.delete(path).status_code == 204
    assert files.part_length(only().id) is None
    assert tus.http.head(path, headers=tus.headers()).status_code == 410
    assert tus.http.get(path, headers=tus.headers()).status_code == 410
    assert tus.patch(path, DATA[7_000:], 7_000).status_code == 410
    assert tus.delete(path).status_code == 410
    assert tus.http.get(ADDRESS, headers=tus.headers()).json() == []


def test_other_peoples_uploads_are_not_known(tus: Tus, other: Tus, client: Client) -> None:
    path = tus.open(DATA)
    assert other.http.head(path, headers=other.headers()).status_code == 404
    assert other.http.get(path, headers=other.headers()).status_code == 404
    assert other.patch(path, DATA, 0).status_code == 404
    assert other.delete(path).status_code == 404
    assert other.http.get(ADDRESS, headers=other.headers()).json() == []
    assert client.get(path).status_code == client.get(ADDRESS).status_code == 401
    assert client.post(ADDRESS, headers={"Tus-Resumable": "1.0.0", "Upload-Length": "9999"}).status_code == 401
    assert tus.offset(path) == 0


def test_a_session_needs_the_csrf_token(user: Any) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(DATA))}
    assert browser.post(ADDRESS, headers=headers, content_type="text/plain").status_code == 403
    browser.get("/submit/")
    token = {"X-CSRFToken": browser.cookies["csrftoken"].value}
    answer = browser.post(ADDRESS, headers=headers | token, content_type="text/plain")
    assert answer.status_code == 201
    path = answer["Location"].removeprefix("http://testserver")
    piece = headers | {"Upload-Offset": "0"}
    assert browser.patch(path, data=DATA, content_type=PIECE, headers=piece).status_code == 403
    assert browser.patch(path, data=DATA, content_type=PIECE, headers=piece | token).status_code == 204
    with_bytes = browser.post(ADDRESS, data=DATA[:999], headers=headers | token, content_type=PIECE)
    assert with_bytes["Upload-Offset"] == "999"


def test_two_people_with_the_same_bytes_share_the_file_and_have_a_record_each(tus: Tus, other: Tus) -> None:
    mine, theirs = tus.send(DATA), other.send(DATA)
    for upload in Upload.objects.all():
        upload_finish(upload_id=upload.id)
    sha256 = hashlib.sha256(DATA).hexdigest()
    assert tus.state(mine)["sha256"] == other.state(theirs)["sha256"] == sha256
    assert [path.name for path in files.uploads_folder().glob("*.tar")] == [f"{sha256}.tar"]
    assert tus.delete(mine).status_code == 204
    assert files.archive_path(sha256).read_bytes() == DATA
    assert other.delete(theirs).status_code == 204
    assert not files.archive_path(sha256).exists()


def test_the_list_says_what_can_be_gone_on_with(tus: Tus) -> None:
    path = tus.open(DATA, fingerprint="mine-1")
    tus.patch(path, DATA[:7_000], 0)
    (found,) = tus.http.get(ADDRESS, headers=tus.headers()).json()
    assert (found["state"], found["offset"], found["size"], found["fingerprint"]) == (
        "RECEIVING",
        7_000,
        len(DATA),
        "mine-1",
    )
    assert found["url"].endswith(path)


def test_a_finish_that_died_after_the_move_is_completed(tus: Tus, tmp_path: Path) -> None:
    path = tus.send(DATA)
    upload, sha256 = only(), hashlib.sha256(DATA).hexdigest()
    Upload.objects.update(sha256=sha256)
    files.part_publish(upload.id, sha256)  # and here the process was killed
    upload_finish(upload_id=upload.id)
    assert tus.state(path)["image"] == f"archive@sha256:{sha256}"


def test_a_last_piece_whose_process_died_before_it_said_so_is_finished_by_the_reaper(
    tus: Tus, django_capture_on_commit_callbacks: Any
) -> None:
    from django.utils import timezone

    path = tus.open(DATA)
    files.part_append(only().id, 0, DATA)
    assert tus.offset(path) == len(DATA)
    with django_capture_on_commit_callbacks() as sent:
        assert uploads_sweep(now=timezone.now()) == 1
    assert len(sent) == 1
    assert tus.state(path)["state"] == "CHECKING"
