"""Makes `seccomp.json`, the system calls that a method may use: python -m evaluator.sandbox.seccomp > seccomp.json.

It starts from the engine's default profile and takes away what reaches past the container: sockets other than
AF_UNIX (AF_VSOCK has no namespace and talks to the host of a virtual machine), new namespaces and mounts, ptrace,
kernel keys, io_uring, and the 32-bit entry points that would go round those filters. What it leaves is enough for
PyTorch training with DataLoader workers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ENGINE_PROFILE = Path("/usr/share/containers/seccomp.json")
PROFILE = Path(__file__).with_name("seccomp.json")

TAKEN_AWAY = frozenset(
    (
        "unshare setns mount umount umount2 pivot_root move_mount open_tree fsopen fsconfig fsmount fspick "
        "mount_setattr keyctl add_key request_key ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd bpf "
        "perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register name_to_handle_at "
        "open_by_handle_at chroot mknod mknodat syslog quotactl clone clone3 socket socketpair socketcall ipc mbind "
        "set_mempolicy migrate_pages move_pages"
    ).split()
)

#: CLONE_NEWNS … CLONE_NEWNET: a thread or process may be made, a namespace not.
NAMESPACE_FLAGS = 0x7E020000
AF_UNIX = 1
ENOSYS = 38


def profile_make(engine_profile: dict[str, Any]) -> dict[str, Any]:
    """The profile for methods, from the engine's default one."""
    kept: list[dict[str, Any]] = []
    for rule in engine_profile["syscalls"]:
        conditional = rule.get("includes", {}).get("caps") or (rule.get("args") and "personality" not in rule["names"])
        if rule["action"] != "SCMP_ACT_ALLOW" or conditional:
            continue
        if names := sorted(set(rule["names"]) - TAKEN_AWAY):
            kept.append({"names": names, "action": "SCMP_ACT_ALLOW", "args": rule.get("args") or []})
    kept += [
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": _first(NAMESPACE_FLAGS, "SCMP_CMP_MASKED_EQ")},
        # Its flags lie behind a pointer that a filter cannot read; ENOSYS makes libc fall back to clone.
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS, "args": []},
        {"names": ["socket", "socketpair"], "action": "SCMP_ACT_ALLOW", "args": _first(AF_UNIX, "SCMP_CMP_EQ")},
    ]
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []}],
        "syscalls": kept,
    }


def profile_without_errno(profile: dict[str, Any]) -> dict[str, Any]:
    """The profile for gVisor, whose filter has no other refusal than EPERM: libc would take that for clone3's answer
    and make no thread. A namespace that clone3 makes there is one of gVisor's own kernel.
    """
    rules = [rule for rule in profile["syscalls"] if "errnoRet" not in rule]
    return profile | {"syscalls": [*rules, {"names": ["clone3"], "action": "SCMP_ACT_ALLOW", "args": []}]}


def _first(value: int, comparison: str) -> list[dict[str, Any]]:
    return [{"index": 0, "value": value, "valueTwo": 0, "op": comparison}]


if __name__ == "__main__":
    json.dump(profile_make(json.loads(ENGINE_PROFILE.read_text())), sys.stdout, indent=1)
    sys.stdout.write("\n")
