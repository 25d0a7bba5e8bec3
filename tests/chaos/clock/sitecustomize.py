"""Sets the wall clock of a Python process by what a file says, while it runs; its monotonic clock stays the machine's.

Python imports this by itself where the folder is on PYTHONPATH. It does nothing without CHAOS_CLOCK, the file's path;
the file holds the seconds to add.
"""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path


def _follow(file: Path) -> None:
    import time_machine

    traveller = time_machine.travel(datetime.now(UTC), tick=True).start()
    set_to = 0.0

    def follow() -> None:
        nonlocal set_to
        while True:
            try:
                offset = float(file.read_text())
            except OSError:  # a fork that closes every file it finds open
                offset = set_to
            if offset != set_to:
                traveller.shift(offset - set_to)
                set_to = offset
            time.sleep(0.05)

    def start() -> None:
        threading.Thread(target=follow, name="clock", daemon=True).start()

    start()
    os.register_at_fork(after_in_child=start)  # the embedded beat is a fork


if path := os.environ.get("CHAOS_CLOCK"):
    _follow(Path(path))
