"""Boards: the list, and the newest snapshot of one as it was published."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from leaderboard.api.schema import answers, extend_schema
from leaderboard.boards.selectors import board_latest, board_list


class ColumnSerializer(serializers.Serializer[Any]):
    key = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    direction = serializers.ChoiceField(choices=["up", "down"])
    help = serializers.CharField()
    group = serializers.CharField(required=False)
    headline = serializers.BooleanField(required=False)
    version = serializers.CharField(required=False)


class ScoreSerializer(serializers.Serializer[Any]):
    value = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)


class DifferenceSerializer(serializers.Serializer[Any]):
    """The row minus another (`id`, a submission) in the overall score; `p_holm` is corrected for all pairs."""

    id = serializers.CharField()
    value = serializers.FloatField()
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    p = serializers.FloatField()
    p_holm = serializers.FloatField()


class DifferencesSerializer(serializers.Serializer[Any]):
    base = DifferenceSerializer(allow_null=True, required=False)
    next = DifferenceSerializer(allow_null=True, required=False)


class SeedSpreadSerializer(serializers.Serializer[Any]):
    """Standard deviations of one run's overall score by source, over `n` seeds."""

    n = serializers.IntegerField()
    between = serializers.FloatField()
    within = serializers.FloatField()
    residual = serializers.FloatField()


class PairsSerializer(serializers.Serializer[Any]):
    """Row i holds entry `ids[i]` minus each of those after it."""

    ids = serializers.ListField(child=serializers.CharField())
    low = serializers.ListField(child=serializers.ListField(child=serializers.FloatField(allow_null=True)))
    high = serializers.ListField(child=serializers.ListField(child=serializers.FloatField(allow_null=True)))
    p_holm = serializers.ListField(child=serializers.ListField(child=serializers.FloatField()))


class RowSerializer(serializers.Serializer[Any]):
    rank = serializers.IntegerField(allow_null=True)
    rank_low = serializers.IntegerField(allow_null=True)
    rank_high = serializers.IntegerField(allow_null=True)
    method = serializers.CharField()
    submission = serializers.CharField()
    division = serializers.ChoiceField(choices=["weights", "system"])
    kind = serializers.CharField()
    scores = serializers.DictField(child=ScoreSerializer())
    method_slug = serializers.CharField()
    version = serializers.CharField()
    paper = serializers.CharField(allow_blank=True)
    code = serializers.CharField(allow_blank=True)
    runs = serializers.ListField(child=serializers.CharField())
    seeds = serializers.ListField(child=serializers.IntegerField())
    tied_with = serializers.ListField(child=serializers.CharField())
    pareto = serializers.BooleanField()
    stores_forget_text = serializers.BooleanField()
    submitted_at = serializers.CharField()
    differences = DifferencesSerializer(required=False)
    seed_spread = SeedSpreadSerializer(allow_null=True, required=False)


class BoardSerializer(serializers.Serializer[Any]):
    """The Board JSON; it is served as it was published, this only describes it."""

    board = serializers.CharField()
    release = serializers.CharField()
    evaluator = serializers.CharField()
    generated_at = serializers.CharField()
    revision = serializers.IntegerField()
    title = serializers.CharField()
    split = serializers.CharField()
    release_version = serializers.CharField()
    columns = ColumnSerializer(many=True)
    rows = RowSerializer(many=True)
    pairs = serializers.DictField(child=PairsSerializer(), required=False)
    mde = serializers.FloatField(allow_null=True, required=False)


class BoardLineSerializer(serializers.Serializer[Any]):
    """A line of `board_list`; without a snapshot the last three are null."""

    board = serializers.CharField(source="release.slug")
    title = serializers.CharField(source="release.title")
    split = serializers.CharField(source="release.split")
    size = serializers.IntegerField(source="release.size")
    n_rows = serializers.IntegerField()
    evaluator = serializers.CharField(source="snapshot.evaluator", allow_null=True)
    revision = serializers.IntegerField(source="snapshot.revision", allow_null=True)
    generated_at = serializers.CharField(source="snapshot.payload.generated_at", allow_null=True)


class BoardListView(APIView):
    @extend_schema(operation_id="boards_list", tags=["boards"], responses=answers(BoardLineSerializer(many=True)))
    def get(self, request: Request) -> Response:
        """Every board with its newest revision; `revision` is null until something is scored."""
        return Response(BoardLineSerializer(board_list(), many=True).data)


class BoardView(APIView):
    @extend_schema(
        operation_id="boards_retrieve",
        tags=["boards"],
        parameters=[
            OpenApiParameter("evaluator", str, description="A version of the evaluator; the newest if left out.")
        ],
        responses=answers(BoardSerializer, errors=(404,)),
    )
    def get(self, request: Request, slug: str) -> Response:
        """The newest snapshot of a board. 404 until something is scored on it."""
        snapshot = board_latest(release_slug=slug, evaluator=request.query_params.get("evaluator") or None)
        if snapshot is None:
            raise Http404
        return Response(snapshot.payload)
