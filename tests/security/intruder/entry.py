"""Tries what a hostile method would try, and prints what came of each attempt as one JSON line.

With the name of one as its second argument it is one of the programs of `hog` instead.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import hog  # type: ignore[import-not-found]  # lies beside it in the image

LIBC = ctypes.CDLL(None, use_errno=True)
#: x86_64 system calls that reach past a container, or into the kernel.
NUMBERS = {
    "ptrace": 101, "syslog": 103, "pivot_root": 155, "chroot": 161, "acct": 163, "settimeofday": 164, "mount": 165,
    "umount2": 166, "swapon": 167, "reboot": 169, "sethostname": 170, "iopl": 172, "ioperm": 173, "init_module": 175,
    "quotactl": 179, "lookup_dcookie": 212, "clock_settime": 227, "mbind": 237, "kexec_load": 246, "add_key": 248,
    "request_key": 249, "keyctl": 250, "migrate_pages": 256, "unshare": 272, "move_pages": 279, "perf_event_open": 298,
    "fanotify_init": 300, "name_to_handle_at": 303, "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310,
    "process_vm_writev": 311, "kcmp": 312, "finit_module": 313, "kexec_file_load": 320, "bpf": 321,
    "userfaultfd": 323, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "pidfd_getfd": 438,
    "mount_setattr": 442,
}  # fmt: skip
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


def sockets_that_open() -> list[int]:
    """Every family of socket there is, in every kind, but AF_UNIX."""
    opened = []
    for family in range(64):
        for kind in (1, 2, 3, 4, 5, 10):
            if family != socket.AF_UNIX:
                try:
                    os.close(socket_of(family, kind))
                    opened.append(family)
                except OSError:
                    continue
    return opened


def socket_of(family: int, kind: int) -> int:
    made = LIBC.socket(family, kind, 0)
    if made < 0:
        raise OSError(ctypes.get_errno(), "socket")
    return int(made)


def calls_that_work() -> list[str]:
    """System calls of `NUMBERS` that are not refused as such (EPERM), whatever they say to wrong arguments."""
    found = []
    for name, number in NUMBERS.items():
        result = LIBC.syscall(number, 0, 0, 0, 0, 0, 0)
        if result >= 0 or ctypes.get_errno() != errno.EPERM:
            found.append(f"{name}: {errno.errorcode.get(ctypes.get_errno(), '')}")
    return found


def in_a_child(act: Callable[[], int]) -> str:
    """What came of an act that may end its process: "signal 31", or "returned …" with its result."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, str(act()).encode())
        os._exit(0)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    said = os.read(reading, 100).decode()
    return f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"returned {said}"


def machine_code(code: bytes) -> int:
    """Runs bytes as a function: no file is needed for that, so no file's mount option can stop it."""
    room = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    room.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(room))
    return int(ctypes.CFUNCTYPE(ctypes.c_long)(address)())


def int_0x80(number: int, first: int = 0, second: int = 0) -> str:
    """A system call by the 32-bit entry, whose numbers are others: push rbx; mov eax, ebx, ecx; int 0x80; pop; ret."""
    words = [number.to_bytes(4, "little"), first.to_bytes(4, "little"), second.to_bytes(4, "little")]
    code = b"\x53\xb8" + words[0] + b"\xbb" + words[1] + b"\xb9" + words[2] + b"\xcd\x80\x48\x98\x5b\xc3"
    return in_a_child(lambda: machine_code(code))


def writable_in_the_kernels_folders() -> list[str]:
    """Files of /proc and /sys, but our own process's, that open for writing; a masked one is /dev/null in its place."""
    found = []
    for top in ("/proc", "/sys"):
        for folder, names, files in os.walk(top):
            if folder == "/proc":
                names[:] = [name for name in names if not name.isdigit() and name not in {"self", "thread-self"}]
            for name in files:
                try:
                    file = os.open(f"{folder}/{name}", os.O_WRONLY | os.O_NONBLOCK)
                    if os.fstat(file).st_rdev != os.makedev(1, 3):
                        found.append(f"{folder}/{name}")
                    os.close(file)
                except OSError:
                    continue
    return found


def of_all_processes() -> str:
    """Command lines, environments and root folders of every process that can be seen."""
    text = ""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("environ", "cmdline", "maps", "mountinfo", "cgroup"):
            try:
                text += Path(f"/proc/{pid}/{name}").read_text(errors="replace")
            except OSError:
                continue
        try:
            text += " ".join(os.listdir(f"/proc/{pid}/root"))
        except OSError:
            continue
    return text


def kernel_addresses() -> int:
    """How many symbols of the kernel show where they lie."""
    try:
        lines = Path("/proc/kallsyms").read_text().splitlines()
    except OSError:
        return 0
    return sum(1 for line in lines if int(line.split()[0], 16))


def abstract_socket_of_the_host() -> str:
    with socket.socket(socket.AF_UNIX) as link:
        link.connect("\0palimpsest-red-team")
    return "connected"


def raise_own_limits() -> str:
    try:
        resource.setrlimit(resource.RLIMIT_NPROC, (100_000, 100_000))
    except ValueError:  # Python's own name for EPERM
        return "EPERM"
    return "raised"


def go_before_others() -> str:
    os.nice(-5)
    return "went"


def real_time() -> str:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    return "got"


def kill_everybody() -> str:
    os.kill(-1, signal.SIGKILL)
    return "killed"


def status() -> dict[str, str]:
    lines = Path("/proc/self/status").read_text().splitlines()
    return dict(line.split()[:2] for line in lines if line.startswith(("Cap", "NoNewPrivs", "Seccomp:")))


ATTEMPTS: dict[str, Callable[[], str]] = {
    "abstract socket of the host": abstract_socket_of_the_host,
    "raise own limits": raise_own_limits,
    "go before others": go_before_others,
    "real time": real_time,
    "kill everybody": kill_everybody,
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

FILES_ABOUT_HOSTS = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/run/.containerenv")
FACTS: dict[str, Callable[[], object]] = {
    "sockets that open": sockets_that_open,
    "calls that work": calls_that_work,
    "int 0x80 getpid": lambda: int_0x80(20),
    "int 0x80 socketcall": lambda: int_0x80(102, 1, 0),
    "int 0x80 mount": lambda: int_0x80(21),
    "x32 getpid": lambda: in_a_child(lambda: int(LIBC.syscall(0x40000000 | 39))),
    "machine code": lambda: in_a_child(lambda: machine_code(b"\xb8\x2a\x00\x00\x00\xc3")),
    "writable in the kernel's folders": writable_in_the_kernels_folders,
    "of all processes": of_all_processes,
    "kernel addresses": kernel_addresses,
    "pressure": lambda: [name for name in ("cpu", "io", "memory") if Path(f"/proc/pressure/{name}").exists()],
    "files about hosts": lambda: [Path(name).read_text() for name in FILES_ABOUT_HOSTS if Path(name).is_file()],
    "uid": os.getuid,
    "status": status,
    "hostname": socket.gethostname,
    "network": lambda: sorted(os.listdir("/sys/class/net")),
    "cgroup": lambda: Path("/proc/self/cgroup").read_text(),
    "variables": lambda: sorted(os.environ),
    "processes": lambda: [name for name in os.listdir("/proc") if name.isdigit()],
}


def main() -> None:
    if len(sys.argv) > 2:
        {program.__name__: program for program in hog.PROGRAMS}[sys.argv[2]](*sys.argv[3:])
        return
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
