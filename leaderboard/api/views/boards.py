"""Boards: the list, and the newest snapshot of one as it was published."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from evaluator.contract import BoardPayload
from leaderboard.api.schema import answers, extend_schema
from leaderboard.boards.selectors import board_latest, board_list


class BoardLineSerializer(serializers.Serializer[Any]):
    """A line of `board_list`; without a snapshot the last three are null."""

    board = serializers.CharField(source="release.slug")
    title = serializers.CharField(source="release.title")
    split = serializers.CharField(source="release.split")
    size = serializers.IntegerField(source="release.size")
    n_rows = serializers.IntegerField()
    evaluator = serializers.CharField(source="snapshot.evaluator", allow_null=True)
    revision = serializers.IntegerField(source="snapshot.revision", allow_null=True)
    generated_at = serializers.CharField(source="snapshot.shown.generated_at", allow_null=True)


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
        responses=answers(BoardPayload, errors=(404,)),
    )
    def get(self, request: Request, slug: str) -> Response:
        """The newest snapshot of a board. 404 until something is scored on it."""
        snapshot = board_latest(release_slug=slug, evaluator=request.query_params.get("evaluator") or None)
        if snapshot is None:
            raise Http404
        return Response(snapshot.shown)
