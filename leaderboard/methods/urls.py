"""Addresses of methods, submissions and the form that makes one."""

from django.urls import URLPattern, URLResolver, path

from leaderboard.methods import views

app_name = "methods"
urlpatterns: list[URLPattern | URLResolver] = [
    path("methods/", views.method_list, name="list"),
    path("methods/<slug:slug>/", views.method_detail, name="detail"),
    path("submit/", views.submit, name="submit"),
    path("submissions/<slug:submission_id>/", views.submission_detail, name="submission"),
    path("submissions/<slug:submission_id>/status/", views.submission_status, name="submission-status"),
    path("submissions/<slug:submission_id>/manifest.json", views.submission_manifest, name="manifest"),
    path("submissions/<slug:submission_id>/method.toml", views.submission_toml, name="toml"),
    path("submissions/<slug:submission_id>/withdraw/", views.submission_withdraw, name="withdraw"),
]
