"""Watches its parent: when the evaluator is gone, by whatever death, what it started ends too."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

# `read` fails at end of file: the pipe closed because its owner died. A line means: all is cleaned up already.
_WAIT = 'read -r line && exit 0; for command in "$@"; do sh -c "$command" >/dev/null 2>&1; done'


class ParentWatch:
    """Runs shell commands when this process dies; `disarm` on the ordinary way.

    In a session of its own, so that a signal to the evaluator's process group does not reach it.
    """

    def __init__(self, commands: Sequence[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _WAIT, "palimpsest-cleanup", *commands],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=dict(environment),
            start_new_session=True,
            cwd="/",
        )

    def disarm(self) -> None:
        if self._process.stdin is not None:
            try:
                self._process.stdin.write(b"done\n")
                self._process.stdin.close()
            except OSError:
                pass
        self._process.wait()
