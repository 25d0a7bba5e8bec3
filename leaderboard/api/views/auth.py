"""Tokens: make one with a password, give one back."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import authenticate
from knox.models import AuthToken
from rest_framework import permissions, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from leaderboard.api.authentication import TokenAuthentication
from leaderboard.api.schema import answers, extend_schema
from leaderboard.audit.services import audited
from leaderboard.core.problems import Refused, problem_make


class LoginRefused(Refused):
    status = 401


class TokenView(APIView):
    """The token of the person who asks."""

    throttle_scope = "login"

    class InputSerializer(serializers.Serializer[Any]):
        username = serializers.CharField(max_length=150)
        password = serializers.CharField(max_length=500, trim_whitespace=False)

        class Meta:
            ref_name = "Login"

    class OutputSerializer(serializers.Serializer[Any]):
        token = serializers.CharField(help_text="Shown once.")
        token_key = serializers.CharField(help_text="Its first characters: how a list names it.")
        username = serializers.CharField()

        class Meta:
            ref_name = "Token"

    def get_authenticators(self) -> list[Any]:
        # POST needs no credentials: with a stale token in the header a new one must still be had.
        return [] if getattr(self.request, "method", "POST") == "POST" else [TokenAuthentication()]

    def get_permissions(self) -> list[Any]:
        return [] if self.request.method == "POST" else [permissions.IsAuthenticated()]

    @extend_schema(
        operation_id="auth_token_create",
        tags=["auth"],
        request=InputSerializer,
        responses=answers(OutputSerializer, status=201, errors=(400, 401)),
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """Make a token from a username and a password."""
        given = self.InputSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        user = authenticate(request, **given.validated_data)
        if user is None:
            raise LoginRefused(
                [
                    problem_make(
                        "username",
                        given.validated_data["username"],
                        "and password do not match an active account",
                        "check both, or sign up on the site first",
                    )
                ]
            )
        with audited():
            instance, token = AuthToken.objects.create(user)
        data = {"token": token, "token_key": instance.token_key, "username": user.get_username()}
        return Response(data, status=status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="auth_token_delete",
        tags=["auth"],
        request=None,
        responses=answers(None, status=204, errors=(401,)),
    )
    def delete(self, request: Request) -> Response:
        """Delete the token that this request is signed with."""
        with audited():
            request.auth.delete()
        return Response(status=status.HTTP_204_NO_CONTENT)
