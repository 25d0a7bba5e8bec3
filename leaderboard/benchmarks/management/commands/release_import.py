"""`manage.py release_import`: take over the public cards of built releases. Safe to repeat."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from leaderboard.benchmarks.services import release_import
from leaderboard.core.problems import Refused


class Command(BaseCommand):
    help = "Import benchmark releases from their public cards (PALIMPSEST_HOME/cards/*.json)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--cards", type=Path, default=Path(settings.PALIMPSEST_HOME) / "cards", help="folder of cards"
        )

    def handle(self, *args: Any, cards: Path, **options: Any) -> None:
        if not cards.is_dir():
            raise CommandError(f"no folder {cards}; build a release first: python -m evaluator build")
        try:
            found = release_import(cards=cards)
        except Refused as error:
            raise CommandError(str(error)) from error
        for release, new in found:
            self.stdout.write(f"{release.slug}: {'new' if new else 'known'}")
        if not found:
            self.stdout.write(f"no cards in {cards}")
