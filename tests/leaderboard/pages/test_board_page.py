"""The board page without any script: rows, order, filters, columns, and what stands around the table."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from leaderboard.benchmarks.models import Release
from leaderboard.boards.models import BoardSnapshot
from tests.leaderboard.pages.conftest import snapshot_make

pytestmark = pytest.mark.django_db
PAGE = "/boards/toy-world-5/"


def names(client: Client, query: str = "") -> list[str]:
    """Methods in the order of the table."""
    html = client.get(PAGE + query).content.decode()
    table = html[html.index('id="board-table"') : html.index("</table>")]
    return [text[:9] for text in re.findall(r'<a class="name"[^>]*>([^<&]+)', table)]


def text(client: Client, query: str = "") -> str:
    response = client.get(PAGE + query)
    assert response.status_code == 200
    return response.content.decode()


def test_rows_stand_in_divisions_by_rank_and_controls_last(client: Client, board: BoardSnapshot) -> None:
    assert names(client) == ["Good edit", "=HYPERLIN", "Half meas", "Retrieval", "Refuse ev"]
    sections = re.findall(r'scope="rowgroup">(\w+)', text(client))
    assert sections == ["Weights", "Systems", "Controls"]
    assert re.findall(r'scope="rowgroup">(\w+)', text(client, "?sort=forgetting")) == []


def test_a_shared_rank_and_its_interval_are_written(client: Client, board: BoardSnapshot) -> None:
    html = text(client)
    assert "(shared)" in html
    assert "1–2" in html


def test_a_missing_score_is_not_run_and_never_zero(client: Client, board: BoardSnapshot) -> None:
    row = text(client, "?q=half")
    body = row[row.index("<tbody>") : row.index("</tbody>")]
    assert body.count("not run") == 3
    assert "0.000" not in body


def test_controls_are_marked(client: Client, board: BoardSnapshot) -> None:
    assert text(client).count('<tr class="is-control">') >= 1


def test_boards_of_a_rotated_release_say_which_is_which(client: Client, board: BoardSnapshot) -> None:
    first = board.release
    fresh = Release.objects.get(pk=first.pk)
    fresh.pk, fresh.slug, fresh.title, fresh.round = None, "toy-world-5-r2", "Toy world, round 2", 2
    fresh.save(force_insert=True)
    snapshot_make(fresh, [])
    Release.objects.filter(slug=first.slug).update(state="retired")
    old, new = text(client), client.get("/boards/toy-world-5-r2/").content.decode()
    assert "<strong>Retired.</strong>" in old
    assert "Round 2 has taken its place" in old
    assert 'href="/boards/toy-world-5-r2/"' in old
    assert "Round 2, with facts that no earlier round has used" in new
    assert 'href="/boards/toy-world-5/">round 1' in new
    assert "Toy world, round 2" in client.get("/").content.decode(), "the front page shows the one that is not retired"


def test_a_false_declaration_and_repeated_tries_are_marked(client: Client, board: BoardSnapshot) -> None:
    rows = [dict(row) for row in board.payload["rows"]]
    rows[0] |= {"stores_forget_text": True, "declared_falsely": True, "tries": 4}
    rows[1] |= {"stores_forget_text": True, "knowledge_intact": True}
    BoardSnapshot.objects.create(
        release=board.release,
        evaluator=board.evaluator,
        revision=9,
        payload=board.payload | {"rows": rows},
        inputs_sha256="x",
    )
    html = text(client)
    assert html.count(">false declaration<") == 1
    assert html.count(">stores requests<") == 1
    assert html.count("4 tries") == 1
    assert html.count(">knowledge intact<") == 1


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?sort=forgetting", ["Refuse ev", "Good edit", "Retrieval", "=HYPERLIN", "Half meas"]),
        ("?sort=-forgetting", ["Half meas", "=HYPERLIN", "Retrieval", "Good edit", "Refuse ev"]),
        ("?sort=over_refusal", ["Retrieval", "Good edit", "=HYPERLIN", "Refuse ev", "Half meas"]),
        ("?sort=-over_refusal", ["Refuse ev", "=HYPERLIN", "Good edit", "Retrieval", "Half meas"]),
        ("?sort=method", ["=HYPERLIN", "Good edit", "Half meas", "Refuse ev", "Retrieval"]),
        ("?sort=-rank", ["Good edit", "=HYPERLIN", "Half meas", "Retrieval", "Refuse ev"]),
        ("?sort=nonsense", ["Good edit", "=HYPERLIN", "Half meas", "Retrieval", "Refuse ev"]),
        ("?division=system", ["Retrieval"]),
        ("?kind=control", ["Refuse ev"]),
        ("?controls=off", ["Good edit", "=HYPERLIN", "Half meas", "Retrieval"]),
        ("?q=GOOD", ["Good edit"]),
        ("?q=nobody", []),
    ],
)
def test_the_address_sorts_and_filters(client: Client, board: BoardSnapshot, query: str, expected: list[str]) -> None:
    assert names(client, query) == expected


def test_the_sorted_column_says_so(client: Client, board: BoardSnapshot) -> None:
    assert 'aria-sort="descending"' in text(client, "?sort=forgetting")
    assert 'aria-sort="ascending"' in text(client, "?sort=over_refusal")


def test_headline_columns_are_shown_unless_others_are_picked(client: Client, board: BoardSnapshot) -> None:
    def heads(query: str) -> list[str]:
        html = text(client, query)
        return re.findall(r'popovertarget="help-([a-z_]+)" aria-label', html)

    assert heads("") == ["overall", "forgetting", "locality", "over_refusal"]
    assert heads("?col=extraction_strength&col=unlearn_wall_s&col=nonsense") == [
        "extraction_strength",
        "unlearn_wall_s",
    ]


def test_sorting_keeps_the_filters_in_the_address(client: Client, board: BoardSnapshot) -> None:
    html = text(client, "?q=e&division=weights&col=forgetting")
    assert f"{PAGE}?q=e&amp;division=weights&amp;sort=forgetting&amp;col=forgetting" in html


def test_htmx_gets_the_table_alone(client: Client, board: BoardSnapshot) -> None:
    headers = {"HX-Request": "true", "HX-Target": "board-results"}
    part = client.get(PAGE, headers=headers).content.decode()
    assert part.lstrip().startswith('<div id="board-results">')
    assert "<html" not in part


def test_names_and_helps_are_escaped(client: Client, board: BoardSnapshot) -> None:
    for path in (PAGE, "/", "/boards/", "/methods/", "/methodology/", "/compare/?m=good-editing&m=retrieval"):
        html = client.get(path).content.decode()
        assert "<script>alert(1)" not in html, path
        assert "<b>with a tag" not in html, path


def test_a_board_page_costs_few_queries(
    client: Client, board: BoardSnapshot, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(6):
        client.get(PAGE)
    with django_assert_max_num_queries(6):
        client.get("/")


def test_the_number_of_queries_does_not_grow_with_the_rows(
    client: Client, board: BoardSnapshot, django_assert_num_queries: Any
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as few:
        client.get(PAGE)
    snapshot_make(board.release, board.payload["rows"] * 40, revision=2)
    with CaptureQueriesContext(connection) as many:
        client.get(PAGE)
    assert len(many) == len(few)


def test_an_older_revision_stays_readable_and_says_so(client: Client, board: BoardSnapshot) -> None:
    snapshot_make(board.release, board.payload["rows"][:1], revision=2)
    assert names(client) == ["Good edit"]
    assert len(names(client, "?revision=1")) == 5
    assert "older snapshot" in text(client, "?revision=1")
    assert client.get(PAGE + "?revision=9").status_code == 404
    assert client.get(PAGE + "?revision=x").status_code == 200


def test_a_board_without_a_snapshot_says_so(client: Client, public: Release) -> None:
    html = client.get("/boards/toy-world-5-public/").content.decode()
    assert "Nothing has been scored" in html
    assert client.get("/boards/toy-world-5-public.json").status_code == 404
    assert client.get("/boards/no-such/").status_code == 404


def test_the_figure_is_plotly_json_with_intervals(client: Client, board: BoardSnapshot) -> None:
    figure = client.get("/boards/toy-world-5/scatter.json").json()
    kinds = {trace["name"]: trace for trace in figure["data"]}
    assert kinds["control"]["marker"]["symbol"] == "x-open"
    assert kinds["editing"]["error_x"]["array"] == pytest.approx([0.05])
    assert figure["layout"]["xaxis"]["title"]["text"].startswith("Forgetting")
    points = sum(len(trace["x"]) for trace in figure["data"] if trace["mode"] != "lines")
    assert points == 4  # the one without a locality is no point


def test_compare_shows_differences_and_ties(client: Client, board: BoardSnapshot) -> None:
    first, second, *_ = (row["submission"] for row in board.payload["rows"])
    html = client.get(f"/compare/?m={first}&m={second}&m=retrieval").content.decode()
    assert "cannot tell" in html
    assert "−0.200" in html
    assert "▲" in html or "▼" in html
    one = client.get("/compare/?m=good-editing&m=nobody").content.decode()
    assert "“nobody” has no entry" in one
    assert client.get("/compare/?board=nope").status_code == 404


def paired(board: BoardSnapshot) -> BoardSnapshot:
    """The board's next snapshot, by an evaluator that compares pairs."""
    payload = dict(board.payload)
    good, close, system, *_ = (row["submission"] for row in payload["rows"])
    ids = sorted((good, close, system))
    # entry → overall and over-refusal; the bounds are those of the value ± 0.1
    overall, refusal = {good: 0.8, close: 0.78, system: 0.6}, {good: 0.1, close: 0.12, system: 0.05}
    payload["pairs"] = {
        key: {
            "ids": ids,
            "low": [[values[a] - values[b] - 0.1 for b in ids[n + 1 :]] for n, a in enumerate(ids)],
            "high": [[values[a] - values[b] + 0.1 for b in ids[n + 1 :]] for n, a in enumerate(ids)],
            "p_holm": [
                [0.0004 if abs(values[a] - values[b]) > cut else 0.4 for b in ids[n + 1 :]] for n, a in enumerate(ids)
            ],
        }
        for key, values, cut in (("overall", overall, 0.1), ("over_refusal", refusal, 0.03))
    }
    payload["mde"] = 0.087
    rows = [dict(row) for row in payload["rows"]]
    rows[0] |= {
        "differences": {
            "base": {"id": rows[3]["submission"], "value": 0.6, "low": 0.5, "high": 0.7, "p": 0.0, "p_holm": 0.0},
            "next": {"id": close, "value": 0.02, "low": -0.08, "high": 0.12, "p": 0.4, "p_holm": 0.4},
        },
        "seed_spread": {"n": 3, "between": 0.012, "within": 0.034, "residual": 0.005},
    }
    payload["rows"] = rows
    return BoardSnapshot.objects.create(
        release=board.release, evaluator="1.0", revision=2, payload=payload, inputs_sha256="2" * 64
    )


def test_compare_puts_paired_differences_into_words(client: Client, board: BoardSnapshot) -> None:
    good, close, *_ = (row["submission"] for row in paired(board).payload["rows"])
    html = client.get(f"/compare/?m={good}&m={close}&m=retrieval").content.decode()
    assert "worse by 0.20 (0.10–0.30)" in html and "p &lt; 0.001" in html
    assert "cannot be told apart (−0.12 to +0.08)" in html
    # Lower is better: refusing too much less often is a gain.
    assert "better by 0.05 (−0.05 to +0.15)" in html
    turned = client.get(f"/compare/?m=retrieval&m={good}").content.decode()
    assert "better by 0.20 (0.10–0.30)" in turned
    # Forgetting has no pairs here: its reading is the old one, and the legend says so.
    assert "Where no test was made" in html


def test_an_old_snapshot_without_pairs_is_compared_by_its_intervals(client: Client, board: BoardSnapshot) -> None:
    html = client.get("/compare/?m=good-editing&m=retrieval").content.decode()
    assert "only where the intervals do not touch" in html and "tested on the same questions" not in html


def test_a_board_says_what_difference_it_can_detect_and_a_method_how_far_it_is_from_others(
    client: Client, board: BoardSnapshot
) -> None:
    assert "told apart, four times in five" not in client.get(PAGE).content.decode()
    paired(board)
    assert "four times in five, from about 0.09 in the overall score on" in client.get(PAGE).content.decode()
    html = client.get("/methods/good-editing/").content.decode()
    assert "better by 0.60 (0.50–0.70) than Refuse everything" in html
    assert "cannot be told apart (−0.08 to +0.12) from =HYPERLINK" in html and "<script>alert" not in html
    assert "Over 3 seeds" in html and "0.012" in html


def test_compare_without_a_board_is_a_page(client: Client, db: None) -> None:
    assert client.get("/compare/").status_code == 200
