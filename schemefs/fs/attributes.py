"""The attributes of a node as stat(2) shows them, and those of the file system."""

from __future__ import annotations

import time
from typing import Any, Final

from schemefs.fs.inodes import Inode
from schemefs.fs.libfuse_hooks import pyfuse3
from schemefs.scheme import Directory, StreamFile

STREAM_BLOCK: Final = 1 << 20  # octets that cat and cp read at once: the largest FUSE request
TEXT_BLOCK: Final = 4096
OPEN_TO_ALL: Final = 0o555
KEPT_FOR: Final = 3600  # seconds
SECTOR: Final = 512  # the unit of st_blocks

# Nodes have no times of their own: all show the start of the daemon.
_STARTED: Final = time.time_ns()


def attributes_of(inode: Inode) -> Any:
    """Return the attributes of *inode*. The kernel must not keep them, since names and sizes change at any time.

    It may keep those of a permanent directory that every caller may enter. A name that it keeps skips the check of the
    caller's rights in the directory above, which is as permanent and open.
    """
    node = inode.node
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = inode.number
    entry.st_mode = node.kind | node.mode
    entry.st_nlink = 2 if isinstance(node, Directory) else 1
    entry.st_uid = node.uid
    entry.st_gid = node.gid
    entry.st_size = size = inode.length or node.size - inode.begin
    entry.st_blocks = -(-size // SECTOR)  # without blocks, tar --sparse takes a file for one hole
    entry.st_blksize = STREAM_BLOCK if isinstance(node, StreamFile) else TEXT_BLOCK
    entry.st_atime_ns = entry.st_mtime_ns = entry.st_ctime_ns = _STARTED
    is_kept = isinstance(node, Directory) and node.is_permanent and node.mode == OPEN_TO_ALL
    entry.entry_timeout = entry.attr_timeout = KEPT_FOR if is_kept else 0
    return entry


def statfs() -> Any:
    """Return the figures of a file system without blocks, with names up to 255 octets."""
    data = pyfuse3.StatvfsData()
    data.f_bsize = data.f_frsize = TEXT_BLOCK
    data.f_namemax = 255
    return data
