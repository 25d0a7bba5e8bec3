"""The embedded broker: kombu's filesystem transport, with messages that appear whole or not at all.

The stock transport creates a message file under its final name and writes it afterwards; a worker that looks in
between reads nothing, and dies of it ("Unrecoverable error: JSONDecodeError"), together with the run that it holds.
"""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from queue import Empty
from typing import Any

import structlog
from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps

logger = structlog.get_logger(__name__)


class Channel(filesystem.Channel):
    """Writes under a name that no reader looks for, then renames."""

    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:  # type: ignore[override]  # stubs lack kwargs
        folder = Path(self.data_folder_out)
        name = f"{round(time.monotonic() * 1000)}_{uuid.uuid4()}.{queue}.msg"
        draft = folder / f".{name}.new"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(dumps(message).encode())
            os.replace(draft, folder / name)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise ChannelError(f"cannot add a message to {folder}: {error}") from error

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        try:
            return super()._get(queue)
        except (ValueError, OSError, ChannelError) as error:
            # Cut short by a full disk or a crash, or the folder is gone: the reaper sends it again. Kombu would let the
            # worker die of it, and its runs with it.
            logger.warning("a task message could not be read", error=str(error))
            raise Empty from None


class Transport(filesystem.Transport):
    Channel = Channel


def broker_register() -> None:
    """`filesystem://` means the transport above from now on."""
    TRANSPORT_ALIASES["filesystem"] = f"{__name__}:{Transport.__name__}"
