"""`manage.py release_rotate SLUG`: a worn hidden release retires, opens, and is replaced by a fresh one."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from leaderboard.benchmarks.models import Release
from leaderboard.core.problems import Refused
from leaderboard.traces.reissue import ReissueFailed
from leaderboard.worker.rotate import BuildFailed, release_retire, release_rotate


class Command(BaseCommand):
    help = "Retire a hidden release, open all its traces, and build the release that takes its place."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", help="the release, such as pretrained-facts-10")
        parser.add_argument("--reason", required=True, help="why; it is published in the audit log")
        parser.add_argument("--retire-only", action="store_true", help="build nothing in its place")

    def handle(self, *args: Any, slug: str, reason: str, retire_only: bool, **options: Any) -> None:
        release = Release.objects.filter(slug=slug).first()
        if release is None:
            known = ", ".join(Release.objects.filter(split="hidden").values_list("slug", flat=True)) or "none"
            raise CommandError(f"slug: {slug!r} is no release here; hidden ones: {known}")
        actor = f"command:release_rotate:{getpass.getuser()}"
        try:
            if retire_only:
                opened = release_retire(release=release, actor=actor, reason=reason)
                self.stdout.write(f"{slug} has retired; {opened} traces were opened")
                return
            fresh = release_rotate(release=release, actor=actor, reason=reason, say=self.stdout.write)
        except (Refused, BuildFailed, ReissueFailed) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"submit to {fresh.slug}; the board of {slug} stays where it is, marked as retired")
