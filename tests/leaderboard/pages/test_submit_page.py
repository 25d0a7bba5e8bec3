"""The submission form: every reason at once, what was typed is kept, and the same service as the API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from leaderboard.accounts.models import User
from leaderboard.benchmarks.models import Release
from leaderboard.methods.models import Submission
from leaderboard.methods.toml import manifest_toml
from leaderboard.submissions.inspect import submission_inspect
from tests.leaderboard.conftest import digest_make, manifest_make

pytestmark = pytest.mark.django_db

MANIFEST = """
contract = 1
name = "From the form"
version = "1"
kind = "editing"
division = "weights"
authors = ["Ada"]
"""


def form(release: Release, **changes: Any) -> dict[str, Any]:
    filled = {"image": digest_make(), "manifest": MANIFEST, "releases": [release.slug], "n_seeds": "1", "method": ""}
    return filled | changes


def test_the_form_asks_for_a_login_first(client: Client) -> None:
    answer = client.get("/submit/")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/login/?next=")


def test_a_submission_from_the_form_is_taken_in(client: Client, user: User, public: Release) -> None:
    client.force_login(user)
    answer = client.post("/submit/", form(public, tryout="on", n_seeds="2"))
    made = Submission.objects.get()
    assert answer["Location"] == f"/submissions/{made.id}/"
    assert (made.submitter, len(made.seeds), made.tryout, made.method.slug) == (user, 2, True, "from-the-form")


def test_a_manifest_file_does_as_well_as_text(client: Client, user: User, public: Release) -> None:
    client.force_login(user)
    file = SimpleUploadedFile("method.json", json.dumps(manifest_make(name="From a file")).encode())
    client.post("/submit/", form(public, manifest="", manifest_file=file))
    assert Submission.objects.get().method.name == "From a file"


def test_every_fault_is_said_at_once_and_nothing_is_lost(client: Client, user: User, public: Release) -> None:
    client.force_login(user)
    bad = MANIFEST + 'divison = "weights"\n'
    answer = client.post("/submit/", form(public, image="latest", manifest=bad, releases=[], n_seeds="one"))
    page = answer.content.decode()
    assert answer.status_code == 400
    assert Submission.objects.count() == 0
    for expected in (
        "is not a reference to an image",
        "did you mean `division`",
        "name at least one benchmark",
        "Enter a whole number",
    ):
        assert expected in page, expected
    assert "divison = &quot;weights&quot;" in page
    assert 'value="latest"' in page


def test_a_manifest_that_cannot_be_parsed_does_not_hide_the_other_faults(
    client: Client, user: User, public: Release
) -> None:
    client.force_login(user)
    page = client.post("/submit/", form(public, image="latest", manifest="name = ")).content.decode()
    assert "cannot be parsed" in page
    assert "is not a reference to an image" in page


def test_an_uploaded_manifest_is_kept_when_it_is_refused(client: Client, user: User, public: Release) -> None:
    client.force_login(user)
    file = SimpleUploadedFile("method.toml", b'name = "only a name, kept"')
    page = client.post("/submit/", form(public, manifest="", manifest_file=file)).content.decode()
    assert "only a name, kept" in page


def test_the_same_digest_twice_names_the_first(client: Client, user: User, public: Release) -> None:
    client.force_login(user)
    client.post("/submit/", form(public))
    page = client.post("/submit/", form(public)).content.decode()
    assert f"submission {Submission.objects.get().id}" in page


def test_a_benchmark_in_the_address_is_picked(client: Client, user: User, public: Release, hidden: Release) -> None:
    client.force_login(user)
    page = client.get(f"/submit/?benchmark={public.slug}").content.decode()
    picked = [line for line in page.split("<input") if "checked" in line and 'name="releases"' in line]
    assert len(picked) == 1
    assert f'value="{public.slug}"' in picked[0]


def test_the_method_page_tells_how_to_repeat_it(client: Client, user: User, public: Release) -> None:
    client.force_login(user)
    client.post("/submit/", form(public))
    made = Submission.objects.get()
    page = client.get("/methods/from-the-form/").content.decode()
    assert f"palimpsest try from-the-form --release {public.slug}" in page
    assert made.image in page
    assert client.get(f"/submissions/{made.id}/method.toml").content.decode() == manifest_toml(made.manifest)
    assert client.get(f"/submissions/{made.id}/manifest.json").json() == made.manifest


def test_a_tag_is_shown_as_submitted_and_as_run(client: Client, user: User, public: Release, tmp_path: Path) -> None:
    client.force_login(user)
    (tmp_path / "tags.json").write_text(json.dumps({"registry.example/me/method:1": digest_make(7)}))
    client.post("/submit/", form(public, image="registry.example/me/method:1"))
    made = Submission.objects.get()
    page = client.get(f"/submissions/{made.id}/").content.decode()
    assert "registry.example/me/method:1" in page
    assert "the tag is looked up at the inspection" in page
    submission_inspect(submission_id=made.id)
    page = client.get(f"/submissions/{made.id}/").content.decode()
    assert "registry.example/me/method:1" in page
    resolved = f"registry.example/me/method@{digest_make(7)}"
    assert resolved in page
    assert f"--image {resolved}" in client.get("/methods/from-the-form/").content.decode()


def test_the_page_of_an_uploaded_method_says_that_its_image_is_in_no_registry(
    client: Client, user: User, public: Release
) -> None:
    client.force_login(user)
    client.post("/submit/", form(public))
    made = Submission.objects.get()
    Submission.objects.update(image="archive@sha256:" + "a" * 64, image_id=digest_make(9))
    page = client.get("/methods/from-the-form/").content.decode()
    assert "is in no registry" in page
    assert f"--image {digest_make(9)}" in page
    assert "Image ID" in client.get(f"/submissions/{made.id}/").content.decode()


def test_the_form_offers_a_file_and_without_scripts_the_command(client: Client, user: User, settings: Any) -> None:
    client.force_login(user)
    settings.UPLOAD_MAX_MB = 2000
    page = client.get("/submit/").content.decode()
    assert 'data-upload="/api/v1/uploads/"' in page
    assert "palimpsest submit FOLDER --archive FILE" in page
    assert "up to 2 GB" in page


def test_withdrawing_is_for_the_submitter(client: Client, user: User, stranger: User, public: Release) -> None:
    client.force_login(user)
    client.post("/submit/", form(public))
    path = f"/submissions/{Submission.objects.get().id}/withdraw/"
    client.force_login(stranger)
    assert "is not yours" in client.post(path, follow=True).content.decode()
    client.force_login(user)
    assert "withdrawn" in client.post(path, follow=True).content.decode()
    assert Submission.objects.get().state == "WITHDRAWN"


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ("[hparams]\ncut = 2026-01-01\n", "manifest.hparams.cut “2026-01-01” is a date"),
        (".".join("a" * 20_000) + " = 1\n", "more than 32 deep"),
    ],
    ids=["a date", "dotted keys"],
)
def test_what_a_manifest_cannot_hold_is_named(
    client: Client, user: User, public: Release, added: str, said: str
) -> None:
    client.force_login(user)
    answer = client.post("/submit/", form(public, manifest=MANIFEST + added))
    assert answer.status_code == 400
    assert said in answer.content.decode()


def test_a_pasted_byte_order_mark_is_dropped(client: Client, user: User, public: Release) -> None:
    client.force_login(user)
    client.post("/submit/", form(public, manifest="\ufeff" + MANIFEST))
    assert Submission.objects.get().method.name == "From the form"
