"""Token authentication whose refusal says what to do."""

from __future__ import annotations

from knox.auth import TokenAuthentication as KnoxTokenAuthentication


class TokenAuthentication(KnoxTokenAuthentication):
    """`Authorization: Token …`; tokens come from `POST /api/v1/auth/token/` or `palimpsest login`."""
