"""Writes down what a child process of the site is given, then goes on as the protocol's small program."""

from __future__ import annotations

import json
import os
import sys
import uuid
from pathlib import Path

folder = Path(os.environ["PALIMPSEST_HOME"]) / "given"
folder.mkdir(exist_ok=True)
given = {"environment": dict(os.environ), "arguments": sys.argv}
(folder / f"{uuid.uuid4().hex}.json").write_text(json.dumps(given))
protocol = Path(__file__).parents[1] / "leaderboard" / "protocol_evaluator.py"
os.execv(sys.executable, [sys.executable, str(protocol), *sys.argv[1:]])
