"""Addresses of the boards, their files and the comparison."""

from django.urls import URLPattern, URLResolver, path, re_path

from leaderboard.boards import views

app_name = "boards"
urlpatterns: list[URLPattern | URLResolver] = [
    path("boards/", views.board_list, name="list"),
    path("boards/<slug:slug>/", views.board_detail, name="detail"),
    path("boards/<slug:slug>/scatter.json", views.board_scatter, name="scatter"),
    re_path(r"^boards/(?P<slug>[-\w]+)\.(?P<form>json|csv|parquet|tex|bib)$", views.board_export, name="export"),
    path("compare/", views.compare, name="compare"),
]
