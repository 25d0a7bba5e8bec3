"""A submitter names the registry, so what may be asked is decided by its addresses, not by its name."""

from __future__ import annotations

import pytest

from evaluator.sandbox.admission import ImageRefused
from evaluator.sandbox.images.registry_hosts import (
    LOCAL_REGISTRY,
    REGISTRIES,
    address_is_public,
    host_check,
    host_of,
    plain_http,
)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LOCAL_REGISTRY, raising=False)
    monkeypatch.delenv(REGISTRIES, raising=False)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.215.14", True),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_only_addresses_of_the_open_internet_are_public(address: str, public: bool) -> None:
    assert address_is_public(address) is public


@pytest.mark.parametrize(
    "host", ["127.0.0.1:5000", "localhost", "10.0.0.1", "169.254.169.254:80", "2130706433.", "0x7f.1:80", "127.1"]
)
def test_a_host_of_the_inside_is_refused_however_it_is_written(host: str) -> None:
    with pytest.raises(ImageRefused) as caught:
        host_check(host)
    (problem,) = caught.value.problems
    assert (problem["field"], problem["value"]) == ("image", host)


def test_a_public_address_may_be_asked_with_tls() -> None:
    host_check("93.184.215.14:443")
    assert not plain_http("93.184.215.14:443")


def test_a_local_registry_must_be_allowed_and_only_that_one_speaks_plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LOCAL_REGISTRY, "1")
    for host in ("127.0.0.1:5000", "localhost:5000"):
        host_check(host)
        assert plain_http(host)
    for host in ("10.0.0.1:5000", "127.0.0.1.nip.example", "localhost.example"):
        with pytest.raises(ImageRefused):
            host_check(host)
        assert not plain_http(host)


def test_with_a_list_of_registries_all_others_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REGISTRIES, "registry.example, 10.0.0.1:5000")
    host_check("registry.example")
    host_check("10.0.0.1:5000")
    for host in ("93.184.215.14", "registry.example:444", "10.0.0.1"):
        with pytest.raises(ImageRefused, match="not a registry that this site asks"):
            host_check(host)


@pytest.mark.parametrize(
    ("image", "host"),
    [
        ("registry.example/team/x", "registry.example"),
        ("localhost/x", "localhost"),
        ("builder:5000/x", "builder:5000"),
        ("team/x", ""),
        ("x", ""),
    ],
)
def test_the_host_is_read_as_the_engine_reads_it(image: str, host: str) -> None:
    assert host_of(image) == host
