"""Runs, each as its viewer may see it: everything comes from `runs.policies.run_view`."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter
from rest_framework import mixins, permissions, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from leaderboard.api.schema import answers, extend_schema
from leaderboard.runs.forecast import queue_place
from leaderboard.runs.models import Run
from leaderboard.runs.output import run_output
from leaderboard.runs.policies import RunView, run_view
from leaderboard.runs.selectors import run_list
from leaderboard.runs.services import run_cancel, run_retry
from leaderboard.runs.states import RunState


class RunScoreSerializer(serializers.Serializer[Any]):
    """A `ScoreView`."""

    value = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    key = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    direction = serializers.CharField()
    group = serializers.CharField(allow_blank=True)
    unit = serializers.CharField(allow_blank=True)
    help = serializers.CharField(allow_blank=True)
    headline = serializers.BooleanField()
    n_items = serializers.IntegerField()


class RunSerializer(serializers.Serializer[Any]):
    """A `RunView`, the run as its viewer may see it: `hidden` says that details are withheld."""

    id = serializers.CharField()
    state = serializers.ChoiceField(choices=RunState.choices)
    state_label = serializers.CharField()
    is_final = serializers.BooleanField()
    hidden = serializers.BooleanField()
    method = serializers.CharField()
    method_slug = serializers.CharField()
    submission = serializers.CharField()
    release = serializers.CharField()
    seed = serializers.IntegerField()
    attempt = serializers.IntegerField()
    waits_for = serializers.CharField(allow_null=True)
    cancel_requested = serializers.BooleanField()
    stage = serializers.CharField()
    fraction = serializers.FloatField(allow_null=True, help_text="Of the stage; null when it is withheld.")
    message = serializers.CharField()
    failure_code = serializers.CharField()
    remedy = serializers.CharField()
    reason = serializers.CharField()
    detail = serializers.CharField()
    evaluator = serializers.CharField()
    duration = serializers.CharField(help_text="Exact on an open release, else in buckets.")
    queued_at = serializers.CharField()
    started_at = serializers.CharField(allow_null=True)
    finished_at = serializers.CharField(allow_null=True)
    scores = RunScoreSerializer(many=True)
    receipt = serializers.DictField()
    backend = serializers.CharField(help_text="Where the method ran; `process` is no isolation at all.")
    trace_redacted = serializers.BooleanField(allow_null=True)
    trace_sha256 = serializers.CharField()
    trace_rows = serializers.IntegerField()
    may_cancel = serializers.BooleanField()
    may_retry = serializers.BooleanField()
    retries_left = serializers.IntegerField(
        allow_null=True, help_text="Of its submitter, after a failure of the platform; null for everybody else."
    )
    may_look = serializers.BooleanField(help_text="Organisers: its log is hidden from all others; a look is recorded.")
    url = serializers.SerializerMethodField()
    trace_url = serializers.SerializerMethodField(help_text="The trace as Parquet.")

    def get_url(self, view: RunView) -> str:
        page: str = self.context["request"].build_absolute_uri(reverse("runs:detail", args=[view.id]))
        return page

    def get_trace_url(self, view: RunView) -> str | None:
        return None if view.trace_redacted is None else f"{self.get_url(view)}trace.parquet"


class RunDetailSerializer(RunSerializer):
    """One run, with its place in the queue and when it is expected to start."""

    queue_position = serializers.IntegerField(allow_null=True, help_text="1 is taken next; null when it does not wait.")
    expected_start = serializers.CharField(help_text="A coarse range in words; empty when nobody can tell.")


class LogSerializer(serializers.Serializer[Any]):
    text = serializers.CharField()
    offset = serializers.IntegerField(help_text="Ask from here next time: bytes that were ever written.")
    detail = serializers.CharField(help_text="Why it failed.")


class LogInputSerializer(serializers.Serializer[Any]):
    offset = serializers.IntegerField(default=0, min_value=0, max_value=2**53)


class RunViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Run]):
    """Runs, newest first."""

    serializer_class = RunSerializer
    lookup_url_kwarg = "id"
    lookup_value_regex = "[a-z0-9]{1,16}"
    filterset_fields = ("state", "release__slug", "submission", "submission__method__slug")
    queryset = Run.objects.none()

    def get_queryset(self) -> QuerySet[Run]:
        return run_list()

    @extend_schema(responses=answers(RunSerializer(many=True), errors=(400, 404)))
    def list(self, request: Request) -> Response:
        """All runs."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        return self.get_paginated_response([self._data(run) for run in page])

    @extend_schema(responses=answers(RunDetailSerializer, errors=(404,)))
    def retrieve(self, request: Request, id: str) -> Response:  # noqa: A002
        """One run, with its place in the queue."""
        return self._answer(self.get_object())

    @extend_schema(
        parameters=[OpenApiParameter("offset", int, description="Byte to start at, of all that were ever written.")],
        responses=answers(LogSerializer, errors=(400, 404)),
    )
    @action(detail=True, methods=["get"])
    def log(self, request: Request, id: str) -> Response:  # noqa: A002
        """The container's log from `offset`, and why the run failed: for its submitter on an open release, and for
        organisers, whose look at a hidden run is recorded. Empty for others."""
        given = LogInputSerializer(data=request.query_params)
        given.is_valid(raise_exception=True)
        output = run_output(self.get_object(), request.user, offset=given.validated_data["offset"])
        return Response(LogSerializer(output).data)

    @extend_schema(request=None, responses=answers(RunDetailSerializer, errors=(401, 403, 404, 409)))
    @action(detail=True, methods=["post"], permission_classes=[permissions.IsAuthenticated])
    def cancel(self, request: Request, id: str) -> Response:  # noqa: A002
        """Cancel: at once while it waits, within seconds while it runs."""
        return self._answer(run_cancel(run=self.get_object(), user=request.user))  # type: ignore[arg-type]

    @extend_schema(request=None, responses=answers(RunDetailSerializer, errors=(401, 403, 404, 409)))
    @action(detail=True, methods=["post"], permission_classes=[permissions.IsAuthenticated])
    def retry(self, request: Request, id: str) -> Response:  # noqa: A002
        """Repeat a run that the platform failed: its submitter a few times, organisers as often as they like."""
        return self._answer(run_retry(run=self.get_object(), user=request.user))  # type: ignore[arg-type]

    def _answer(self, run: Run) -> Response:
        run = run_list().get(pk=run.pk)
        place = queue_place(run)
        waits = {
            "queue_position": place.position if place else None,
            "expected_start": place.expected_start if place else "",
        }
        return Response(self._data(run) | waits)

    def _data(self, run: Run) -> dict[str, Any]:
        view = run_view(run, self.request.user)
        return dict(RunSerializer(view, context=self.get_serializer_context()).data)
