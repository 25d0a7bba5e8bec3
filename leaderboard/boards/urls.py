"""Addresses of the `boards` pages."""

from django.urls import URLPattern, URLResolver

app_name = "boards"
urlpatterns: list[URLPattern | URLResolver] = []
