"""`manage.py audit_verify`: whether any row of the audit log was changed or removed."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from leaderboard.audit.selectors import chain_verify


class Command(BaseCommand):
    help = "Recompute the chain of hashes of the audit log; fails when an entry was changed or removed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--contains", default="", metavar="SHA256", help="a head noted earlier, which must still be in the log"
        )

    def handle(self, *args: Any, contains: str, **options: Any) -> None:
        report = chain_verify(contains=contains.strip().lower())
        if report.problems:
            raise CommandError("the audit log does not hold:\n  " + "\n  ".join(report.problems))
        self.stdout.write(f"{report.entries} entries, none changed, none missing; head {report.head}")
