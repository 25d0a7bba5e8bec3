"""Tries what a hostile method would try, and prints what came of each attempt as one JSON line."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
NUMBERS = {"unshare": 272, "mount": 165, "ptrace": 101, "keyctl": 250, "bpf": 321, "io_uring_setup": 425, "setns": 308}
NUMBERS |= {
    "userfaultfd": 323,
    "perf_event_open": 298,
    "open_by_handle_at": 304,
    "process_vm_readv": 310,
    "clone3": 435,
}
CLONE_NEWUSER = 0x10000000
SIGCHLD = 17


def write(path: str) -> str:
    Path(path).write_text("x")
    return "written"


def read(path: str) -> str:
    with open(path, "rb") as file:
        file.read(16)
    return "read"


def connect(address: str, port: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(2)
        sock.connect((address, port))
    return "connected"


def open_socket(family: int, kind: int = socket.SOCK_STREAM) -> str:
    socket.socket(family, kind).close()
    return "opened"


def call(name: str, *arguments: int) -> str:
    result = LIBC.syscall(NUMBERS[name], *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return "allowed"


def clone_user_namespace() -> str:
    result = LIBC.syscall(56, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0)
    if result == 0:
        os._exit(0)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return "allowed"


def execute(folder: str) -> str:
    program = Path(folder) / "program"
    program.write_bytes(Path("/usr/bin/true").read_bytes())
    program.chmod(0o755)
    subprocess.run([str(program)], check=True)
    return "executed"


def fill(folder: str) -> str:
    with (Path(folder) / "filler").open("wb", buffering=0) as file:
        for _ in range(4096):
            file.write(bytes(1 << 20))
    return "no limit"


def device() -> str:
    os.mknod("/tmp/device", 0o600 | 0o060000, os.makedev(254, 0))
    return "made"


def become_root() -> str:
    os.setuid(0)
    return "root"


def status() -> dict[str, str]:
    lines = Path("/proc/self/status").read_text().splitlines()
    return dict(line.split()[:2] for line in lines if line.startswith(("Cap", "NoNewPrivs", "Seccomp:")))


ATTEMPTS: dict[str, Callable[[], str]] = {
    "write /": lambda: write("/x"),
    "write /etc": lambda: write("/etc/x"),
    "write /in": lambda: write("/in/x"),
    "write /in/base": lambda: write("/in/base/x"),
    "write own code": lambda: write("/opt/palimpsest/intruder/x"),
    "write /dev": lambda: write("/dev/x"),
    "write /dev/mqueue": lambda: write("/dev/mqueue/x"),
    "write /run": lambda: write("/run/x"),
    "write /var volume": lambda: write("/data/x"),
    "write sysctl": lambda: write("/proc/sys/kernel/core_pattern"),
    "write sysrq": lambda: write("/proc/sysrq-trigger"),
    "write cgroup memory": lambda: write("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
    "write cgroup release": lambda: write("/sys/fs/cgroup/memory/release_agent"),
    "read kcore": lambda: read("/proc/kcore"),
    "read mem": lambda: read("/dev/mem"),
    "read disk": lambda: read("/dev/vda"),
    "read kmsg": lambda: read("/dev/kmsg"),
    "read environment of 1": lambda: read("/proc/2/environ"),
    "connect 1.1.1.1": lambda: connect("1.1.1.1", 443),
    "connect loopback": lambda: connect("127.0.0.1", 22),
    "resolve": lambda: str(socket.getaddrinfo("example.org", 443)[0][4][0]),
    "socket inet": lambda: open_socket(socket.AF_INET),
    "socket inet6": lambda: open_socket(socket.AF_INET6),
    "socket raw": lambda: open_socket(socket.AF_INET, socket.SOCK_RAW),
    "socket netlink": lambda: open_socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "socket vsock": lambda: open_socket(40),
    "socket alg": lambda: open_socket(38, socket.SOCK_SEQPACKET),
    "unshare": lambda: call("unshare", CLONE_NEWUSER),
    "clone user namespace": clone_user_namespace,
    "mount": lambda: call("mount", 0, 0, 0, 0, 0),
    "ptrace": lambda: call("ptrace", 0, 0, 0, 0),
    "keyctl": lambda: call("keyctl", 0, 0, 0, 0),
    "bpf": lambda: call("bpf", 0, 0, 0),
    "io_uring": lambda: call("io_uring_setup", 8, 0),
    "userfaultfd": lambda: call("userfaultfd", 0),
    "perf": lambda: call("perf_event_open", 0, 0, 0, 0, 0),
    "open by handle": lambda: call("open_by_handle_at", 0, 0, 0),
    "process_vm_readv": lambda: call("process_vm_readv", 1, 0, 0, 0, 0, 0),
    "setuid 0": become_root,
    "device": device,
    "execute from /tmp": lambda: execute("/tmp"),
    "execute from /out": lambda: execute("/out"),
    "execute from /dev/shm": lambda: execute("/dev/shm"),
    "fill /tmp": lambda: fill("/tmp"),
    "fill /dev/shm": lambda: fill("/dev/shm"),
}

FACTS: dict[str, Callable[[], object]] = {
    "uid": os.getuid,
    "status": status,
    "hostname": socket.gethostname,
    "network": lambda: sorted(os.listdir("/sys/class/net")),
    "cgroup": lambda: Path("/proc/self/cgroup").read_text(),
    "variables": lambda: sorted(os.environ),
    "processes": lambda: [name for name in os.listdir("/proc") if name.isdigit()],
}


def main() -> None:
    found: dict[str, object] = {}
    for name, attempt in ATTEMPTS.items():
        try:
            found[name] = attempt()
        except OSError as error:
            found[name] = errno.errorcode.get(error.errno or 0, type(error).__name__)
        for folder in ("/tmp", "/dev/shm"):
            (Path(folder) / "filler").unlink(missing_ok=True)
    for name, fact in FACTS.items():
        found[name] = fact()
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
