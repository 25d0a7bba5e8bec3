"""A person's own pages: submissions and API tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from knox.models import AuthToken

from leaderboard.accounts.models import User
from leaderboard.audit.services import audited
from leaderboard.pages.account_forms import TokenForm
from leaderboard.submissions.selectors import submission_list


@login_required
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """What this person has submitted, and where it stands."""
    user = cast(User, request.user)
    context = {
        "submissions": submission_list(submitter=user)[:100],
        "n_tokens": AuthToken.objects.filter(user=user).count(),
    }
    return render(request, "accounts/home.html", context)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def tokens(request: HttpRequest) -> HttpResponse:
    """The person's tokens; a new one is shown once, in the answer to the form that made it."""
    user = cast(User, request.user)
    mine = AuthToken.objects.filter(user=user)
    fresh = ""
    form = TokenForm(request.POST or None)
    limit = settings.REST_KNOX["TOKEN_LIMIT_PER_USER"]
    if request.method == "POST" and form.is_valid():
        if mine.count() >= limit:
            form.add_error(None, f"You have {limit} tokens, which is the limit. Revoke one below, then make a new one.")
        else:
            days = form.cleaned_data["days"]
            with audited():
                _, fresh = AuthToken.objects.create(user=user, expiry=timedelta(days=days) if days else None)
            form = TokenForm()
    context = {"tokens": mine.order_by("-created"), "form": form, "fresh": fresh}
    return render(request, "accounts/tokens.html", context)


@login_required
@require_POST
def token_delete(request: HttpRequest, token_key: str) -> HttpResponse:
    """Revokes one of the person's own tokens, named by its first characters."""
    token = get_object_or_404(AuthToken, user=request.user, token_key=token_key)
    with audited():
        token.delete()
    messages.success(request, f"The token {token_key}… no longer works.")
    return redirect("accounts:tokens")
