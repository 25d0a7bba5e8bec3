"""Run and trace pages: live state, redaction, downloads, and nothing more than a reader may know."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.files.storage import default_storage
from django.test import Client
from django.utils import timezone

from leaderboard.accounts.models import User
from leaderboard.audit.models import AuditEntry
from leaderboard.benchmarks.models import Release
from leaderboard.methods.models import Submission
from leaderboard.runs.models import Run, Worker
from leaderboard.runs.states import RunState
from tests.leaderboard.conftest import Submit
from tests.leaderboard.pages.conftest import work

pytestmark = pytest.mark.django_db


def html(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, path
    return response.content.decode()


def body(response: Any) -> bytes:
    return b"".join(response.streaming_content)


def test_a_queued_run_shows_its_place_and_polls(client: Client, queued: Run) -> None:
    page = html(client, f"/runs/{queued.id}/")
    assert "Number <strong>1</strong>" in page
    assert 'hx-trigger="every 2s"' in page
    assert "No worker has been heard of" in page
    assert client.get(f"/runs/{queued.id}/status/").status_code == 200


def test_polling_stops_with_286_when_the_run_is_final(client: Client, open_run: Run) -> None:
    answer = client.get(f"/runs/{open_run.id}/status/")
    assert answer.status_code == 286
    assert b"hx-trigger" not in answer.content


def test_a_scored_run_has_scores_events_receipt_and_trace(client: Client, open_run: Run) -> None:
    page = html(client, f"/runs/{open_run.id}/")
    for expected in ("Overall", "Scored", "receipt.json", "Browse the trace", "Unlearning"):
        assert expected in page
    receipt = json.loads(client.get(f"/runs/{open_run.id}/receipt.json").content)
    assert receipt["run_id"] == open_run.id


def test_a_run_without_isolation_says_so_on_its_page_and_in_the_api(client: Client, open_run: Run) -> None:
    for backend, marked in (("podman-runsc", False), ("process", True)):
        Run.objects.filter(id=open_run.id).update(receipt=open_run.receipt | {"backend": backend})
        page = html(client, f"/runs/{open_run.id}/")
        assert ("no isolation" in page, "without isolation" in page) == (marked, marked)
        assert client.get(f"/api/v1/runs/{open_run.id}/").json()["backend"] == backend


def test_the_log_is_for_the_submitter_on_a_public_split_only(
    client: Client, open_run: Run, hidden_run: Run, user: User, stranger: User
) -> None:
    said = "the method says hello"
    assert said not in html(client, f"/runs/{open_run.id}/")
    client.force_login(stranger)
    assert said not in html(client, f"/runs/{open_run.id}/")
    client.force_login(user)
    assert said in html(client, f"/runs/{open_run.id}/")
    assert said not in html(client, f"/runs/{hidden_run.id}/")


def test_a_hidden_run_shows_rounded_scores_and_no_times_of_its_stages(
    client: Client, hidden_run: Run, user: User
) -> None:
    client.force_login(user)
    page = html(client, f"/runs/{hidden_run.id}/")
    assert "0.12" in page
    assert "0.123" not in page
    timeline = page[page.index('class="timeline"') :].split("</ol>")[0]
    assert "<time" not in timeline


def test_where_the_seconds_of_a_hidden_run_went_is_on_its_page_for_organisers_alone(
    client: Client, hidden_run: Run, open_run: Run, user: User, stranger: User, organiser: User
) -> None:
    for who in (None, user, stranger):
        if who:
            client.force_login(who)
        for page in (html(client, f"/runs/{hidden_run.id}/"), html(client, f"/boards/{hidden_run.release.slug}/")):
            assert "Where the seconds went" not in page and "12.69" not in page
        assert "12.69" not in client.get(f"/api/v1/runs/{hidden_run.id}/").content.decode()
        assert "Where the seconds went" in html(client, f"/runs/{open_run.id}/")
    client.force_login(organiser)
    page = html(client, f"/runs/{hidden_run.id}/")
    table = page[page.index('id="seconds"') :].split("</details>")[0]
    for expected in ("Generation", "12.69", "25 %", "20.50", "The whole run", "50.00", "2.25 a pass"):
        assert expected in table
    assert "Attacks on weights" not in table, "a stage that was not come to"


def test_one_page_has_the_medians_of_a_board_for_organisers_alone(
    client: Client, submit: Submit, hidden: Release, user: User, organiser: User
) -> None:
    address = f"/boards/{hidden.slug}/seconds/"
    assert client.get(address).status_code == 302, "signing in comes first"
    client.force_login(user)
    assert client.get(address).status_code == 403
    client.force_login(organiser)
    assert "No scored run of this board has such a record yet" in html(client, address)
    assert client.get("/boards/no-such-board/seconds/").status_code == 404
    runs = [work(submit, hidden, name=f"m{number}") for number in range(3)]
    server = work(submit, hidden, name="Server", division="system", kind="retrieval")
    for run, seconds in zip(runs, (1.0, 8.0, 90.0), strict=True):
        stages = {"generate": {"wall_s": seconds, "cpu_s": 2 * seconds}}
        Run.objects.filter(id=run.id).update(seconds=run.seconds | {"stages": stages})
    older = work(submit, hidden, name="Older")
    Run.objects.filter(id=older.id).update(evaluator="0.0-older", finished_at=server.queued_at, seconds=older.seconds)
    page = html(client, address)
    weights, system = page[page.index("<h2>Weights") :].split("<h2>System")
    assert "Medians of 3 runs, evaluator 0.0-protocol" in weights and ">8.00<" in weights and ">16.00<" in weights
    assert "1 run, evaluator" in system and "37.31" in system
    assert "390 tokens in 120 passes" in weights


def test_a_failed_run_says_its_code_and_remedy_and_nothing_else(
    client: Client, submit: Submit, hidden: Release, user: User
) -> None:
    run = work(submit, hidden, hparams={"behaviour": "method-error-unlearning"})
    client.force_login(user)
    page = html(client, f"/runs/{run.id}/")
    assert "method_error" in page
    assert "palimpsest try" in page
    assert "a hidden answer" not in page


def test_the_trace_of_a_public_run_shows_the_texts(client: Client, open_run: Run) -> None:
    page = html(client, f"/runs/{open_run.id}/trace/")
    assert "Who wrote Hamlet?" in page
    assert "I do not know." in page
    only = html(client, f"/runs/{open_run.id}/trace/?kind=retain")
    assert only.count("Who wrote Hamlet?") == 1
    assert "1 probe match" in only


def test_a_neutral_text_is_shown_as_what_it_is_without_a_question_or_answers(client: Client, open_run: Run) -> None:
    row: dict[str, Any] = {
        "item_id": "t",
        "kind": "text",
        "split_role": "utility",
        "prompt": "",
        "response": "",
        "leak": None,
    }
    row |= {"reference": "Bread rises slowly.", "base_response": "", "text_logprob": -3.25, "text_gain": 0.0}
    pq.write_table(pa.Table.from_pylist([row]), default_storage.path(open_run.trace.path))
    page = html(client, f"/runs/{open_run.id}/trace/")
    assert page.count("Bread rises slowly.") == 1 and ">utility</span>" in page
    assert "-3.250" in page
    assert "Before</h3>" not in page and "answer:" not in page


def test_the_trace_can_be_filtered_by_leak_and_text(client: Client, submit: Submit, public: Release) -> None:
    run = work(submit, public, hparams={"value": 1.0})
    assert "3 probes match" in html(client, f"/runs/{run.id}/trace/?leak=yes")
    assert "No probe matches" in html(client, f"/runs/{run.id}/trace/?leak=no")
    assert "3 probes match" in html(client, f"/runs/{run.id}/trace/?q=hamlet")
    assert "No probe matches" in html(client, f"/runs/{run.id}/trace/?q=macbeth&page=7")


def test_the_trace_of_a_hidden_run_withholds_every_text(
    client: Client, hidden_run: Run, user: User, organiser: User
) -> None:
    for who in (None, user, organiser):
        if who:
            client.force_login(who)
        page = html(client, f"/runs/{hidden_run.id}/trace/")
        assert "Withheld" in page
        packed = gzip.decompress(body(client.get(f"/runs/{hidden_run.id}/trace.jsonl.gz")))
        for secret in ("Hamlet", "Shakespeare", "I do not know"):
            assert secret not in page
            assert secret.encode() not in packed
        rows = [json.loads(line) for line in packed.splitlines()]
        assert {row["prompt"] for row in rows} == {None}


def test_both_downloads_hold_the_same_records(client: Client, open_run: Run) -> None:
    lines = gzip.decompress(body(client.get(f"/runs/{open_run.id}/trace.jsonl.gz"))).splitlines()
    table = pq.read_table(io.BytesIO(body(client.get(f"/runs/{open_run.id}/trace.parquet"))))
    assert [json.loads(line) for line in lines] == table.to_pylist()


def test_a_run_without_a_trace_is_a_404_that_says_why(client: Client, queued: Run) -> None:
    answer = client.get(f"/runs/{queued.id}/trace/")
    assert answer.status_code == 404
    assert b"only a scored run has one" in answer.content
    assert client.get(f"/runs/{queued.id}/receipt.json").status_code == 404
    assert client.get("/runs/rnothing/").status_code == 404


def test_cancelling_is_for_the_submitter(client: Client, queued: Run, user: User, stranger: User) -> None:
    path = f"/runs/{queued.id}/cancel/"
    assert client.post(path).status_code == 302
    client.force_login(stranger)
    assert "is not yours" in client.post(path, follow=True).content.decode()
    assert client.get(path).status_code == 405
    client.force_login(user)
    page = client.post(path, follow=True).content.decode()
    assert "Cancelled" in page


def test_the_queue_page_lists_what_waits(client: Client, queued: Run, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(12):
        page = html(client, "/runs/")
    assert queued.id in page


def worker_seen() -> None:
    now = timezone.now()
    Worker.objects.create(name="worker:one:1", host="one", started_at=now, seen_at=now)


def test_a_waiting_run_shows_its_expected_start_on_its_page_and_in_the_queue(
    client: Client, open_run: Run, submit: Submit, public: Release
) -> None:
    run = submit(public, name="Other").runs.get()
    for path in (f"/runs/{run.id}/", f"/runs/{run.id}/status/", "/runs/"):
        assert "within a minute" not in html(client, path)  # no worker, so nobody can tell
    worker_seen()
    assert "It is expected to start <strong>within a minute</strong>" in html(client, f"/runs/{run.id}/")
    queue = html(client, "/runs/")
    assert "<td>within a minute</td>" in queue
    assert "Expected start" in queue


def test_the_button_to_queue_a_run_again_is_there_for_its_submitter_as_long_as_it_works(
    client: Client, queued: Run, user: User, stranger: User
) -> None:
    button, path = "Queue it again", f"/runs/{queued.id}/"
    Run.objects.filter(id=queued.id).update(state=RunState.FAILED_PLATFORM, failure_code="platform_error", attempt=3)
    assert button not in html(client, path)
    client.force_login(stranger)
    assert button not in html(client, path)
    assert "is not yours" in client.post(f"{path}retry/", follow=True).content.decode()
    client.force_login(user)
    for left in (2, 1):
        page = html(client, path)
        assert button in page and "this costs no quota" in page
        assert f"can be done {left} more time" in page
        assert "back in the queue" in client.post(f"{path}retry/", follow=True).content.decode()
        assert button not in html(client, path)  # it waits now
        Run.objects.filter(id=queued.id).update(state=RunState.FAILED_PLATFORM)
    assert button not in html(client, path)
    assert "ask an organiser" in client.post(f"{path}retry/", follow=True).content.decode()


@pytest.mark.parametrize("state", [RunState.SCORED, RunState.FAILED_METHOD, RunState.TIMED_OUT, RunState.CANCELLED])
def test_no_submitter_rolls_the_dice_again(client: Client, queued: Run, user: User, state: RunState) -> None:
    Run.objects.filter(id=queued.id).update(state=state)
    client.force_login(user)
    assert "Queue it again" not in html(client, f"/runs/{queued.id}/")
    client.post(f"/runs/{queued.id}/retry/")
    queued.refresh_from_db()
    assert (queued.state, queued.retries) == (state, 0)


def test_the_cancel_button_is_there_for_the_submitter_while_the_run_can_be_stopped(
    client: Client, queued: Run, user: User
) -> None:
    button, path = "Cancel the run", f"/runs/{queued.id}/"
    assert button not in html(client, path)
    client.force_login(user)
    assert button in html(client, path)
    Run.objects.filter(id=queued.id).update(state=RunState.MEASURING)
    assert button in html(client, path)
    client.post(f"{path}cancel/")
    page = html(client, path)
    assert "cancel requested" in page and button not in page
    Run.objects.filter(id=queued.id).update(state=RunState.SCORED)
    assert button not in html(client, path)


def test_the_submission_page_follows_the_inspection(client: Client, queued: Run) -> None:
    submission: Submission = queued.submission
    page = html(client, f"/submissions/{submission.id}/")
    assert "Accepted" in page
    assert queued.id in page
    assert client.get(f"/submissions/{submission.id}/status/").status_code == 200


def test_reasons_of_a_refusal_are_for_its_submitter(
    client: Client, user: User, submit: Submit, public: Release
) -> None:
    from leaderboard.submissions.create import submission_create
    from leaderboard.submissions.inspect import submission_inspect
    from tests.leaderboard.conftest import manifest_make

    made = submission_create(user=user, image="sha256:" + "0" * 64, manifest=manifest_make(), releases=[public.slug])
    submission_inspect(submission_id=made.id)
    assert "runs as root" not in html(client, f"/submissions/{made.id}/")
    client.force_login(user)
    assert "runs as root" in html(client, f"/submissions/{made.id}/")
    assert client.get(f"/submissions/{made.id}/status/").status_code == 286


def test_an_organiser_opens_the_log_of_a_hidden_run_and_that_is_recorded(
    client: Client, submit: Submit, hidden: Release, user: User, stranger: User, organiser: User
) -> None:
    run = work(submit, hidden, hparams={"behaviour": "method-error-measuring"})
    address, said = f"/runs/{run.id}/log/", "the method says hello"
    assert client.get(address).status_code == 302, "sign in first"
    for person in (user, stranger):
        client.force_login(person)
        assert address not in html(client, f"/runs/{run.id}/")
        assert client.get(address).status_code == client.post(address).status_code == 403
    client.force_login(organiser)
    page = html(client, f"/runs/{run.id}/") + html(client, address) + html(client, f"/admin/runs/run/{run.id}/change/")
    assert address in page
    assert said not in page and "a hidden answer" not in page
    assert not AuditEntry.objects.filter(action="run.look").exists()
    opened = client.post(address)
    assert said in opened.content.decode() and "a hidden answer" in opened.content.decode()
    entry = AuditEntry.objects.get(action="run.look")
    assert (entry.actor, entry.object_id, entry.request_id) == ("user:olga", run.id, opened["X-Request-ID"])


def test_a_submitter_reads_the_log_of_an_open_run_in_full_and_nobody_records_it(
    client: Client, open_run: Run, user: User, stranger: User
) -> None:
    client.force_login(stranger)
    assert client.get(f"/runs/{open_run.id}/log/").status_code == 403
    client.force_login(user)
    assert "the method says hello" in html(client, f"/runs/{open_run.id}/log/")
    assert not AuditEntry.objects.filter(action="run.look").exists()


def test_what_a_method_prints_is_text_on_every_page(client: Client, open_run: Run, user: User) -> None:
    evil = '</pre><script>alert(1)</script><img src=x onerror="alert(2)">{{ 7|add:7 }}{% now "Y" %}'
    Run.objects.filter(id=open_run.id).update(
        log_tail=evil, detail=evil, message=evil, reason=evil, failure_code="method_error", state="FAILED_METHOD"
    )
    client.force_login(user)
    for path in (f"/runs/{open_run.id}/", f"/runs/{open_run.id}/log/"):
        page = html(client, path)
        assert "<script>alert" not in page and "<img src=x" not in page and "</pre><" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page and "{{ 7|add:7 }}" in page
