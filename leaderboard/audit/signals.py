"""Records signing in and out, failed attempts, and API tokens, whichever way they come about."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.core.cache import cache
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from knox.models import AuthToken
from structlog.contextvars import get_contextvars

from leaderboard.accounts.models import User
from leaderboard.audit.services import actor_of, audit_record

#: Failed attempts on one account from one address within this many seconds make one entry: nobody fills the log.
FAILURES_EVERY_S = 60


@receiver(user_logged_in)
def _logged_in(user: User, **_: Any) -> None:
    audit_record(actor=actor_of(user), action="account.login", target=user)


@receiver(user_logged_out)
def _logged_out(user: User | None, **_: Any) -> None:
    if user is not None:
        audit_record(actor=actor_of(user), action="account.logout", target=user)


@receiver(user_login_failed)
def _login_failed(credentials: dict[str, Any], **_: Any) -> None:
    """A name that is no account's is not written down: it may be a password in the wrong field."""
    name = str(credentials.get("username") or credentials.get("login") or "")
    account = User.objects.filter(username=name).first() if len(name) <= 150 and "\x00" not in name else None
    ident = str(account.pk) if account else ""
    if cache.add(f"login-failed:{ident}:{get_contextvars().get('client', '')}", 1, FAILURES_EVERY_S):
        reason = "wrong password, or not active" if account else "no such account"
        audit_record(actor="anonymous", action="account.login-failed", target=("user", ident), reason=reason)


@receiver(post_save, sender=AuthToken)
def _token_created(instance: AuthToken, created: bool, **_: Any) -> None:
    if created:
        after = {"owner": instance.user.get_username(), "expires": instance.expiry}
        audit_record(actor=_acting(instance), action="token.create", target=_named(instance), after=after)


@receiver(post_delete, sender=AuthToken)
def _token_deleted(instance: AuthToken, **_: Any) -> None:
    before = {"owner": instance.user.get_username(), "expires": instance.expiry}
    audit_record(actor=_acting(instance), action="token.delete", target=_named(instance), before=before)


def _named(token: AuthToken) -> tuple[str, str]:
    """By its first characters, as every list of tokens does; its digest is nobody's business."""
    return "token", str(token.token_key)


def _acting(token: AuthToken) -> str:
    """Who is signed in to the request at hand; else the owner, who gave a password or whose token ran out."""
    return str(get_contextvars().get("actor") or actor_of(token.user))
