"""Addresses of the pages, by what they are about."""

from django.urls import URLPattern, URLResolver, include, path, re_path

from leaderboard.pages import account, boards, front, methods, runs, traces

_FRONT: list[URLPattern | URLResolver] = [
    path("", front.home, name="home"),
    path("methodology/", front.methodology, name="methodology"),
    path("contract/", front.contract, name="contract"),
]
_ACCOUNT: list[URLPattern | URLResolver] = [
    path("me/", account.home, name="home"),
    path("me/tokens/", account.tokens, name="tokens"),
    path("me/tokens/<str:token_key>/delete/", account.token_delete, name="token-delete"),
]
_BOARDS: list[URLPattern | URLResolver] = [
    path("boards/", boards.board_list, name="list"),
    path("boards/<slug:slug>/", boards.board_detail, name="detail"),
    path("boards/<slug:slug>/scatter.json", boards.board_scatter, name="scatter"),
    path("boards/<slug:slug>/seconds/", boards.board_seconds, name="seconds"),
    re_path(r"^boards/(?P<slug>[-\w]+)\.(?P<form>json|csv|parquet|tex|bib)$", boards.board_export, name="export"),
    path("compare/", boards.compare, name="compare"),
]
_METHODS: list[URLPattern | URLResolver] = [
    path("methods/", methods.method_list, name="list"),
    path("methods/<slug:slug>/", methods.method_detail, name="detail"),
    path("submit/", methods.submit, name="submit"),
    path("submissions/<slug:submission_id>/", methods.submission_detail, name="submission"),
    path("submissions/<slug:submission_id>/status/", methods.submission_status, name="submission-status"),
    path("submissions/<slug:submission_id>/manifest.json", methods.submission_manifest, name="manifest"),
    path("submissions/<slug:submission_id>/method.toml", methods.submission_toml, name="toml"),
    path("submissions/<slug:submission_id>/withdraw/", methods.submission_withdraw, name="withdraw"),
]
_RUNS: list[URLPattern | URLResolver] = [
    path("runs/", runs.run_list, name="list"),
    path("runs/<slug:run_id>/", runs.run_detail, name="detail"),
    path("runs/<slug:run_id>/status/", runs.run_status, name="status"),
    path("runs/<slug:run_id>/log/", runs.run_log, name="log"),
    path("runs/<slug:run_id>/receipt.json", runs.run_receipt, name="receipt"),
    path("runs/<slug:run_id>/cancel/", runs.run_cancel, name="cancel"),
    path("runs/<slug:run_id>/retry/", runs.run_retry, name="retry"),
]
_TRACES: list[URLPattern | URLResolver] = [
    path("runs/<slug:run_id>/trace/", traces.trace_browse, name="browse"),
    path("runs/<slug:run_id>/trace.jsonl.gz", traces.trace_jsonl, name="jsonl"),
    path("runs/<slug:run_id>/trace.parquet", traces.trace_parquet, name="parquet"),
]
urlpatterns: list[URLPattern | URLResolver] = [
    path("", include((_FRONT, "core"))),
    path("", include((_ACCOUNT, "accounts"))),
    path("", include((_BOARDS, "boards"))),
    path("", include((_METHODS, "methods"))),
    path("", include((_RUNS, "runs"))),
    path("", include((_TRACES, "traces"))),
]
