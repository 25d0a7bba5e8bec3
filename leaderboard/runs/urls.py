"""Addresses of the queue and of one run."""

from django.urls import URLPattern, URLResolver, path

from leaderboard.runs import views

app_name = "runs"
urlpatterns: list[URLPattern | URLResolver] = [
    path("runs/", views.run_list, name="list"),
    path("runs/<slug:run_id>/", views.run_detail, name="detail"),
    path("runs/<slug:run_id>/status/", views.run_status, name="status"),
    path("runs/<slug:run_id>/log/", views.run_log, name="log"),
    path("runs/<slug:run_id>/receipt.json", views.run_receipt, name="receipt"),
    path("runs/<slug:run_id>/cancel/", views.run_cancel, name="cancel"),
    path("runs/<slug:run_id>/retry/", views.run_retry, name="retry"),
]
