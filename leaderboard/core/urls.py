"""Addresses of the pages that belong to no app: the front page and the two documents."""

from django.urls import URLPattern, URLResolver, path

from leaderboard.core import views

app_name = "core"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.home, name="home"),
    path("methodology/", views.methodology, name="methodology"),
    path("contract/", views.contract, name="contract"),
]
