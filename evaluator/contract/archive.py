"""What a file must begin with to be an image archive: the client looks before it sends, the site before it stores."""

from __future__ import annotations

#: So much of a file says whether it is a tar: one block.
HEAD_BYTES = 512

_MAGIC_AT, _CHECKSUM_AT, _CHECKSUM_END = 257, 148, 156
_PACKED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
    b"\xfd7zXZ\x00": ("xz", "unxz"),
    b"BZh": ("bzip2", "bunzip2"),
}


def archive_fault(head: bytes) -> tuple[str, str] | None:
    """What is wrong with a file that begins with `head` (`HEAD_BYTES` of it), and what to do; None when it is a tar.

    `docker save` and `podman save` write plain tar; its header has a magic word and a sum of its own bytes.
    """
    for magic, (name, tool) in _PACKED.items():
        if head.startswith(magic):
            return f"is packed with {name}", f"unpack it with `{tool}` first; the layers inside may stay packed"
    if len(head) < HEAD_BYTES or head[_MAGIC_AT : _MAGIC_AT + 5] != b"ustar" or not _sum_is_right(head):
        remedy = "send what `docker save NAME` or `podman save --format oci-archive NAME` writes"
        return "is no image archive: it does not begin as a tar", remedy
    return None


def _sum_is_right(head: bytes) -> bool:
    try:
        told = int(head[_CHECKSUM_AT:_CHECKSUM_END].strip(b" \0") or b"0", 8)
    except ValueError:
        return False
    blanked = head[:_CHECKSUM_AT] + b" " * (_CHECKSUM_END - _CHECKSUM_AT) + head[_CHECKSUM_END:HEAD_BYTES]
    return told == sum(blanked)
