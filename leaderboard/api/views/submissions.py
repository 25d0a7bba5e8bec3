"""Submissions: send one, follow it, withdraw it."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import mixins, permissions, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from leaderboard.api.errors import ProblemSerializer
from leaderboard.api.schema import answers, extend_schema
from leaderboard.methods import policies
from leaderboard.methods.models import Submission
from leaderboard.runs.models import Run
from leaderboard.submissions import checks
from leaderboard.submissions.create import submission_create
from leaderboard.submissions.selectors import submission_list
from leaderboard.submissions.withdraw import submission_withdraw


class RunBriefSerializer(serializers.ModelSerializer[Run]):
    release = serializers.CharField(source="release.slug")
    waits_for = serializers.CharField(source="waits_for_id", allow_null=True)

    class Meta:
        model = Run
        fields = ("id", "release", "seed", "state", "failure_code", "reason", "waits_for")


class SubmissionSerializer(serializers.ModelSerializer[Submission]):
    method = serializers.CharField(source="method.slug")
    submitter = serializers.CharField(source="submitter.username")
    releases: serializers.Field[Any, Any, Any, Any] = serializers.SlugRelatedField(
        slug_field="slug", many=True, read_only=True
    )
    seeds = serializers.ListField(child=serializers.IntegerField())
    manifest = serializers.DictField()
    runs = RunBriefSerializer(many=True)
    problems = serializers.SerializerMethodField(help_text="Why it was refused: for its submitter and organisers.")
    url = serializers.SerializerMethodField()

    class Meta:
        model = Submission
        fields = [
            "id",
            "method",
            "submitter",
            "version",
            "division",
            "state",
            "image",
            "resolved",
            "image_id",
            "manifest",
            "manifest_sha256",
            "releases",
            "seeds",
            "tryout",
            "problems",
            "runs",
            "created_at",
            "url",
        ]

    @extend_schema_field(ProblemSerializer(many=True))
    def get_problems(self, submission: Submission) -> list[dict[str, str]]:
        viewer = self.context["request"].user
        return submission.problems if policies.may_see_problems(viewer, submission) else []

    @extend_schema_field(str)
    def get_url(self, submission: Submission) -> str:
        request: Request = self.context["request"]
        return request.build_absolute_uri(reverse("methods:submission", args=[submission.pk]))


class SubmissionInputSerializer(serializers.Serializer[Any]):
    image = serializers.CharField(
        max_length=400,
        help_text="`NAME@sha256:…`, `HOST/NAME:TAG`, `archive@sha256:…` (your own upload) or `sha256:…` (an image ID).",
    )
    manifest = serializers.JSONField(help_text="The manifest (`method.toml`) as JSON.")
    releases = serializers.ListField(
        child=serializers.CharField(max_length=80), max_length=20, help_text="Slugs of benchmark releases."
    )
    method = serializers.CharField(
        max_length=80,
        required=False,
        allow_blank=True,
        help_text="Slug of a registered method. Left out, the manifest's name decides; a new one is registered.",
    )
    tryout = serializers.BooleanField(
        default=True, help_text="First one run on the public sibling; hidden runs wait until it is scored."
    )
    n_seeds = serializers.IntegerField(
        default=1,
        min_value=1,
        max_value=checks.MAX_SEEDS,
        help_text="How many seeds the platform chooses. Each is a run of its own.",
    )
    seeds = serializers.ListField(
        child=serializers.IntegerField(),
        default=[],
        max_length=checks.MAX_SEEDS,
        help_text="The seeds themselves: for organisers.",
    )


class SubmissionViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Submission]):
    """Submissions, newest first."""

    serializer_class = SubmissionSerializer
    lookup_url_kwarg = "id"
    lookup_value_regex = "[a-z0-9]{1,16}"
    filterset_fields = ("state", "method__slug", "submitter__username", "division")
    queryset = Submission.objects.none()

    def get_queryset(self) -> QuerySet[Submission]:
        return submission_list()

    @property
    def throttle_scope(self) -> str | None:
        return "submit" if self.action == "create" else None

    @extend_schema(responses=answers(SubmissionSerializer(many=True), errors=(400, 404)))
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """All submissions."""
        return super().list(request, *args, **kwargs)

    @extend_schema(responses=answers(SubmissionSerializer, errors=(404,)))
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One submission with its runs."""
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(
        request=SubmissionInputSerializer,
        responses=answers(SubmissionSerializer, status=201, errors=(400, 401, 403, 409)),
    )
    def create(self, request: Request) -> Response:
        """Submit an image with its manifest. It is inspected at once, then queued."""
        given = SubmissionInputSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        submission = submission_create(user=request.user, **given.validated_data)  # type: ignore[arg-type]
        return self._answer(submission, status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=answers(SubmissionSerializer, errors=(401, 403, 404, 409)))
    @action(detail=True, methods=["post"], permission_classes=[permissions.IsAuthenticated])
    def withdraw(self, request: Request, id: str) -> Response:  # noqa: A002
        """Take it off the boards and cancel what still runs."""
        return self._answer(submission_withdraw(submission=self.get_object(), user=request.user))  # type: ignore[arg-type]

    def _answer(self, submission: Submission, code: int = status.HTTP_200_OK) -> Response:
        found = submission_list().get(pk=submission.pk)
        return Response(self.get_serializer(found).data, status=code)
