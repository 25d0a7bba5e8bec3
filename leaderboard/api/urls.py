"""Addresses of the API."""

from django.urls import URLPattern, URLResolver, include, path
from rest_framework.routers import SimpleRouter

from leaderboard.api.views.auth import TokenView
from leaderboard.api.views.benchmarks import BenchmarkViewSet
from leaderboard.api.views.boards import BoardListView, BoardView
from leaderboard.api.views.docs import DocsView, SchemaView
from leaderboard.api.views.methods import MethodViewSet
from leaderboard.api.views.runs import RunViewSet
from leaderboard.api.views.submissions import SubmissionViewSet
from leaderboard.api.views.uploads import UploadListView, UploadView

app_name = "api"

router = SimpleRouter()
router.register("benchmarks", BenchmarkViewSet, basename="benchmark")
router.register("methods", MethodViewSet, basename="method")
router.register("submissions", SubmissionViewSet, basename="submission")
router.register("runs", RunViewSet, basename="run")

urlpatterns: list[URLPattern | URLResolver] = [
    path("schema/", SchemaView.as_view(), name="schema"),
    path("docs/", DocsView.as_view(url_name="api:schema"), name="docs"),
    path("v1/auth/token/", TokenView.as_view(), name="token"),
    path("v1/boards/", BoardListView.as_view(), name="board-list"),
    path("v1/boards/<slug:slug>/", BoardView.as_view(), name="board"),
    path("v1/uploads/", UploadListView.as_view(), name="upload-list"),
    path("v1/uploads/<slug:id>/", UploadView.as_view(), name="upload"),
    path("v1/", include(router.urls)),
]
