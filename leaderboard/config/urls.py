"""Every address of the site: pages by app, the API, the health checks, the organisers' admin."""

from django.contrib import admin
from django.urls import include, path

from leaderboard.pages.health import healthz, readyz

admin.site.site_header = admin.site.site_title = "Palimpsest organisers"

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.account.urls")),
    path("api/", include("leaderboard.api.urls")),
    path("", include("leaderboard.pages.urls")),
]
