"""Prepares the site's database: migrates, makes the demo's two people, takes over the cards of built releases.

Run as `python -m deploy.demo.people` in the demo's environment; safe to repeat.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from pathlib import Path
from typing import Any

PEOPLE = {
    "organiser": {"username": "organiser", "is_staff": True, "is_superuser": True},
    "author": {"username": "palimpsest", "is_staff": True, "is_superuser": False},
}


def credentials_read(path: Path) -> dict[str, dict[str, str]]:
    """The saved usernames, passwords and tokens; empty when there are none (or none that can be read)."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def credentials_write(path: Path, credentials: dict[str, dict[str, str]]) -> None:
    """Replaces the file in one step, readable by its owner only."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as handle:
        json.dump(credentials, handle, indent=2)
    draft.replace(path)


def people_make(path: Path) -> None:
    """Makes whoever is missing; the passwords are random and lie in `path`."""
    from django.contrib.auth import get_user_model  # noqa: PLC0415 - Django: after its settings

    model: Any = get_user_model()
    credentials = credentials_read(path)
    for role, fields in PEOPLE.items():
        user, new = model.objects.update_or_create(username=fields["username"], defaults=fields)
        known = credentials.get(role, {}).get("password", "")
        if new or not known or not user.check_password(known):
            known = secrets.token_hex(10)  # letters and digits only: it is copied by hand
            user.set_password(known)
            user.save()
            credentials[role] = {"username": str(fields["username"]), "password": known}
    credentials_write(path, credentials)


def main() -> int:
    import django  # noqa: PLC0415 - Django: after its settings
    from django.conf import settings  # noqa: PLC0415 - Django: after its settings
    from django.core.management import call_command  # noqa: PLC0415 - Django: after its settings

    django.setup()
    home = Path(settings.PALIMPSEST_HOME)
    call_command("migrate", interactive=False, verbosity=0)
    people_make(home / "demo-credentials.json")
    if (home / "cards").is_dir():
        call_command("release_import")
    return 0


if __name__ == "__main__":
    sys.exit(main())
