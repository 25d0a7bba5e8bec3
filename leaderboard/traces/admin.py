"""Organisers' view of traces: below the run that each belongs to."""

from __future__ import annotations

from leaderboard.core.admin import ReadOnlyInline
from leaderboard.runs.admin import RunAdmin
from leaderboard.traces.models import TraceFile


class TraceInline(ReadOnlyInline):
    model = TraceFile


# A run does not know of traces: its page learns of them here.
RunAdmin.inlines = (*RunAdmin.inlines, TraceInline)  # type: ignore[assignment]  # a longer tuple
