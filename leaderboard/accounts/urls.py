"""Addresses of a person's own pages; logging in and out is django-allauth's."""

from django.urls import URLPattern, URLResolver, path

from leaderboard.accounts import views

app_name = "accounts"
urlpatterns: list[URLPattern | URLResolver] = [
    path("me/", views.home, name="home"),
    path("me/tokens/", views.tokens, name="tokens"),
    path("me/tokens/<str:token_key>/delete/", views.token_delete, name="token-delete"),
]
