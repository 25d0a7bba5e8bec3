"""The embedded broker: messages are read whole, and a broken one harms nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Empty

import pytest
from kombu import Connection

from leaderboard.config.broker import Channel, Transport, broker_register
from leaderboard.core.home import broker_folders_make


@pytest.fixture
def link(tmp_path: Path) -> Iterator[Connection]:
    broker_register()
    with Connection("filesystem://", transport_options=broker_folders_make(tmp_path)) as connection:
        yield connection


def channel_of(link: Connection) -> Channel:
    found = link.channel()
    assert isinstance(found, Channel)
    return found


def test_the_filesystem_scheme_means_our_transport(link: Connection) -> None:
    assert isinstance(link.transport, Transport)


def test_a_reader_that_never_stops_looking_gets_every_message_whole(link: Connection) -> None:
    sender, receiver = channel_of(link), channel_of(link)
    total = 400

    def send() -> None:
        for n in range(total):
            sender._put("bell", {"n": n, "pad": "x" * 5000})

    writer = threading.Thread(target=send)
    writer.start()
    got: set[int] = set()
    while len(got) < total:
        try:
            got.add(receiver._get("bell")["n"])
        except Empty:
            assert writer.is_alive() or len(got) == total or any(Path(sender.data_folder_out).glob("*.msg"))
    writer.join()
    assert got == set(range(total))


def test_a_message_cut_short_is_dropped(link: Connection, tmp_path: Path) -> None:
    channel = channel_of(link)
    (tmp_path / "queue" / "1_half.bell.msg").write_bytes(b"")
    with pytest.raises(Empty):
        channel._get("bell")
    channel._put("bell", {"n": 1})
    assert channel._get("bell") == {"n": 1}
