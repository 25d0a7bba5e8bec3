"""Forms of a person's own pages."""

from __future__ import annotations

from django import forms


class TokenForm(forms.Form):
    """How long a new API token lives."""

    days = forms.TypedChoiceField(
        label="Valid for",
        coerce=int,
        choices=[(30, "30 days"), (90, "90 days"), (365, "a year"), (0, "until I revoke it")],
        initial=90,
    )
