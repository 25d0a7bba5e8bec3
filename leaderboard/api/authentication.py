"""Token authentication: `Authorization: Token …`."""

from __future__ import annotations

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox.auth import TokenAuthentication as KnoxTokenAuthentication
from knox.models import AuthToken
from rest_framework.exceptions import AuthenticationFailed

from leaderboard.accounts.models import User


class TokenAuthentication(KnoxTokenAuthentication):
    """Tokens come from `POST /api/v1/auth/token/` or `palimpsest login`; they are stored hashed."""

    def authenticate_credentials(self, token: bytes) -> tuple[User, AuthToken]:
        """Whose token it is. Raises `AuthenticationFailed`, for what can't be one without asking the database."""
        if not token.isalnum():  # of bytes: ASCII alone
            raise AuthenticationFailed
        found: tuple[User, AuthToken] = super().authenticate_credentials(token)
        return found


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the schema describes it."""

    target_class = "leaderboard.api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "apiKey", "in": "header", "name": "Authorization", "description": "`Token <your token>`"}
