"""Addresses of the `benchmarks` pages."""

from django.urls import URLPattern, URLResolver

app_name = "benchmarks"
urlpatterns: list[URLPattern | URLResolver] = []
