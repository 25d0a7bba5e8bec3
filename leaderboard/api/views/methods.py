"""Methods: the list, one, and registering."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from leaderboard.api.schema import answers, extend_schema
from leaderboard.methods.models import Kind, Method
from leaderboard.methods.services import method_register
from leaderboard.submissions.selectors import method_list


class MethodSerializer(serializers.ModelSerializer[Method]):
    owner = serializers.CharField(source="owner.username")
    authors = serializers.ListField(child=serializers.CharField())
    n_submissions = serializers.IntegerField()
    n_scored = serializers.IntegerField(help_text="Scored runs.")

    class Meta:
        model = Method
        fields = [
            "slug",
            "name",
            "kind",
            "paper",
            "code",
            "licence",
            "authors",
            "description",
            "owner",
            "created_at",
            "registered_at",
            "n_submissions",
            "n_scored",
        ]


class MethodInputSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=80)
    kind = serializers.ChoiceField(choices=Kind.choices)
    slug = serializers.CharField(max_length=80, required=False, help_text="Made from the name if left out.")
    paper = serializers.CharField(max_length=300, required=False, allow_blank=True)
    code = serializers.CharField(max_length=300, required=False, allow_blank=True)
    licence = serializers.CharField(max_length=80, required=False, allow_blank=True)
    authors = serializers.ListField(child=serializers.CharField(max_length=120), required=False, max_length=40)
    description = serializers.CharField(max_length=10_000, required=False, allow_blank=True)


class MethodViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Method]):
    """Registered methods."""

    serializer_class = MethodSerializer
    lookup_field = "slug"
    filterset_fields = ("kind", "owner__username")
    queryset = Method.objects.none()

    def get_queryset(self) -> QuerySet[Method]:
        return method_list(viewer=self.request.user).order_by("name", "slug")

    @extend_schema(responses=answers(MethodSerializer(many=True), errors=(400, 404)))
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """All methods, by name."""
        return super().list(request, *args, **kwargs)

    @extend_schema(responses=answers(MethodSerializer, errors=(404,)))
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One method."""
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(
        request=MethodInputSerializer, responses=answers(MethodSerializer, status=201, errors=(400, 401, 403, 409))
    )
    def create(self, request: Request) -> Response:
        """Put a method on record. It is registered, and everybody sees it, when a submission for it is accepted."""
        given = MethodInputSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        method = method_register(owner=request.user, **given.validated_data)  # type: ignore[arg-type]
        shown = MethodSerializer(method_list(viewer=request.user).get(pk=method.pk))
        return Response(shown.data, status=status.HTTP_201_CREATED)
