"""Benchmark releases."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import mixins, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from leaderboard.api.schema import answers, extend_schema
from leaderboard.benchmarks.models import Release
from leaderboard.benchmarks.selectors import release_list


class ReleaseSerializer(serializers.ModelSerializer[Release]):
    probe_counts = serializers.DictField(child=serializers.IntegerField(), help_text="Probe kind to number of probes.")
    sources = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = Release
        fields = [
            "slug",
            "benchmark",
            "title",
            "track",
            "split",
            "size",
            "version",
            "base_name",
            "base_sha256",
            "content_sha256",
            "probe_counts",
            "n_subjects",
            "licence",
            "sources",
            "built_at",
            "state",
        ]


class BenchmarkViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Release]):
    """Benchmark releases: what a submission may name, and what each board belongs to."""

    serializer_class = ReleaseSerializer
    lookup_field = "slug"
    queryset = Release.objects.none()

    def get_queryset(self) -> QuerySet[Release]:
        return release_list()

    @extend_schema(responses=answers(ReleaseSerializer(many=True), errors=(404,)))
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """All releases."""
        return super().list(request, *args, **kwargs)

    @extend_schema(responses=answers(ReleaseSerializer, errors=(404,)))
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One release."""
        return super().retrieve(request, *args, **kwargs)
