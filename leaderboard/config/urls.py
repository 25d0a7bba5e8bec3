"""Every address of the site: pages by app, the API, the health checks, the organisers' admin."""

from django.contrib import admin
from django.urls import include, path

from leaderboard.core.health import healthz, readyz

admin.site.site_header = admin.site.site_title = "Palimpsest organisers"

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.account.urls")),
    path("api/", include("leaderboard.api.urls")),
    path("", include("leaderboard.core.urls")),
    path("", include("leaderboard.accounts.urls")),
    path("", include("leaderboard.benchmarks.urls")),
    path("", include("leaderboard.boards.urls")),
    path("", include("leaderboard.methods.urls")),
    path("", include("leaderboard.runs.urls")),
    path("", include("leaderboard.traces.urls")),
]
