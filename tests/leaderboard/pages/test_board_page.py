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


def test_rows_come_in_ranking_order_and_unranked_ones_last(client: Client, board: BoardSnapshot) -> None:
    assert names(client) == ["Good edit", "=HYPERLIN", "Retrieval", "Refuse ev", "Half meas"]


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


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?sort=forgetting", ["Refuse ev", "Good edit", "Retrieval", "=HYPERLIN", "Half meas"]),
        ("?sort=-forgetting", ["Half meas", "=HYPERLIN", "Retrieval", "Good edit", "Refuse ev"]),
        ("?sort=over_refusal", ["Retrieval", "Good edit", "=HYPERLIN", "Refuse ev", "Half meas"]),
        ("?sort=-over_refusal", ["Refuse ev", "=HYPERLIN", "Good edit", "Retrieval", "Half meas"]),
        ("?sort=method", ["=HYPERLIN", "Good edit", "Half meas", "Refuse ev", "Retrieval"]),
        ("?sort=-rank", ["Refuse ev", "Retrieval", "Good edit", "=HYPERLIN", "Half meas"]),
        ("?sort=nonsense", ["Good edit", "=HYPERLIN", "Retrieval", "Refuse ev", "Half meas"]),
        ("?division=system", ["Retrieval"]),
        ("?kind=control", ["Refuse ev"]),
        ("?controls=off", ["Good edit", "=HYPERLIN", "Retrieval", "Half meas"]),
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


def test_compare_without_a_board_is_a_page(client: Client, db: None) -> None:
    assert client.get("/compare/").status_code == 200
