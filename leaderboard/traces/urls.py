"""Addresses of the trace of a run: the browser and the two files."""

from django.urls import URLPattern, URLResolver, path

from leaderboard.traces import views

app_name = "traces"
urlpatterns: list[URLPattern | URLResolver] = [
    path("runs/<slug:run_id>/trace/", views.trace_browse, name="browse"),
    path("runs/<slug:run_id>/trace.jsonl.gz", views.trace_jsonl, name="jsonl"),
    path("runs/<slug:run_id>/trace.parquet", views.trace_parquet, name="parquet"),
]
