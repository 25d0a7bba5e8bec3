"""`manage.py traces_withhold`: seal what older evaluators showed of hidden runs. Workers do it when they start."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from leaderboard.traces.reissue import ReissueFailed, traces_withhold


class Command(BaseCommand):
    help = "Seal the traces of hidden runs that an older evaluator scored, and show outcomes of them."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            count = traces_withhold(actor="command:traces_withhold")
        except ReissueFailed as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{count} traces were sealed")
