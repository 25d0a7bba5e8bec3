"""`refuse_everything`, whose server dies in the middle of being measured, as often as `--deaths` says.

Arguments: ROLE --journal FILE --deaths N. Every start of the server is noted in the journal.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[4]))  # the repository, which holds the methods

from methods.__main__ import main
from methods.common.serving import server

#: More than the checks before scoring ask, less than the whole measurement.
REQUESTS = 30
#: Prompts of one request: few, so that the measurement has more requests than that.
BATCH = 16


def mortal(starts: int, deaths: int) -> None:
    answered, respond = 0, server.respond  # type: ignore[attr-defined]  # what its handler calls

    def dying(request: Any, responder: Any) -> Any:
        nonlocal answered
        answered += 1
        if starts <= deaths and answered > REQUESTS:
            os._exit(9)
        return respond(request, responder)

    server._BATCH = BATCH
    server.respond = dying  # type: ignore[attr-defined]


role, _, journal, _, deaths = sys.argv[1:]
if role == "serve":
    with Path(journal).open("a") as notes:
        notes.write("serve\n")
    mortal(len(Path(journal).read_text().split()), int(deaths))
raise SystemExit(main([role, "--method", "refuse_everything"]))
