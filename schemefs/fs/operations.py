"""The handlers of the mount: they answer the kernel's requests from the tree of schemes.

Every handler finds the inode or the open file, checks the caller's rights and calls the plugin. It waits only through
`Waiting.until`, and only if it is marked `may_park`: any other wait would stop the mount. Those handlers return the
octets of FUSE's answer. `answering` turns what a handler raises into an errno, and `record_failure` keeps the sentence
for `err`.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from inspect import unwrap
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from schemefs import readme
from schemefs.errors import SchemeError, refusal_of
from schemefs.fs import caller_process, permissions
from schemefs.fs.answering import Request, answer_now, answering, may_park, refuse
from schemefs.fs.attributes import attributes_of, statfs
from schemefs.fs.descriptors import inode_of
from schemefs.fs.inodes import Inode, Inodes
from schemefs.fs.interrupted_opens import InterruptedOpens
from schemefs.fs.libfuse_hooks import pyfuse3
from schemefs.fs.listing import Listing
from schemefs.fs.open_files import OpenFile, OpenFollowed, OpenStream, OpenText
from schemefs.fs.renderings import Renderings
from schemefs.fs.repeated_lookup import RepeatedLookups
from schemefs.fs.stream_opening import StreamOpening
from schemefs.scheme import (
    Caller,
    Directory,
    FailureFile,
    FollowedFile,
    Node,
    Scheme,
    StreamFile,
    SymbolicLink,
    TextFile,
)

if TYPE_CHECKING:
    from schemefs.fs.waiting import Waiting
    from schemefs.net.buffer import Buffer, Chunks

log = logging.getLogger("schemefs.fs")

USER = b"user."
CONVERSATION = USER + b"conversation"
# The handlers whose failures `err` shows, by what their first argument is the number of. `_find` records lookups.
_OF_FILES = frozenset({"read", "write", "fsync"})
_OF_INODES = frozenset({"open", "opendir", "setattr"})

OPEN_ANSWER: Final = Struct("=QII")  # struct fuse_open_out of linux/fuse.h: fh, open_flags, backing_id
WRITE_ANSWER: Final = Struct("=II")  # struct fuse_write_out: size, padding


class Operations(pyfuse3.Operations):
    """The handlers that pyfuse3 calls, one for each kind of request."""

    supports_dot_lookup = False
    enable_writeback_cache = False

    def __init__(self, root: Directory, schemes: Sequence[Scheme], err: FailureFile, waiting: Waiting) -> None:
        super().__init__()
        self.inodes = Inodes(root)
        self._lookups = RepeatedLookups(self.inodes)
        self._renderings = Renderings()
        self.interrupted_opens = InterruptedOpens(waiting.timers)
        self._streams = StreamOpening(waiting, self.interrupted_opens)
        self.files: dict[int, OpenFile] = {}
        self.waiting = waiting
        self.unexpected = 0  # exceptions other than SchemeError
        self.closing = False  # new opens are refused
        self._err = err  # for what is in no scheme
        self.device = 0  # the mount's device number, once it is mounted
        self._schemes = {scheme.root: scheme for scheme in schemes}
        self._last_file = 0
        self._opens: dict[int, tuple[int, Caller]] = {}  # open directory -> inode number, its opener
        self._listings: dict[int, Listing] = {}

    @property
    def open_directories(self) -> int:
        """The number of open directories."""
        return len(self._opens)

    def name_of(self, pid: int, descriptor: int) -> str:
        """Return the conversation (`tcp/7`) that *descriptor* of process *pid* is; empty if it is none of ours."""
        inode = self.inodes.get(inode_of(pid, descriptor, self.device))
        return inode.handle.name if inode is not None and inode.handle is not None else ""

    def record_failure(self, call: str, request: Request, args: Sequence[Any], failure: SchemeError) -> None:
        """Record that *call* has failed. A signal, and what O_NONBLOCK asked for, are no failures."""
        _, flags, pid, uid = request
        if failure.errno == errno.EINTR or (failure.errno == errno.EAGAIN and flags & os.O_NONBLOCK):
            return
        inode = self.inodes.get(args[0]) if call in _OF_INODES else None
        if call in _OF_FILES and args[0] in self.files:
            inode = self.files[args[0]].inode
        if inode is not None:
            self._record(inode, Caller(uid, pid=pid), failure)

    def _record(self, inode: Inode, caller: Caller, failure: SchemeError) -> None:
        err = self._err if inode.scheme is None else inode.scheme.err
        err.record(caller, failure.sentence)
        if err is not self._err:
            self._err.changed()

    # Names

    def _find(self, parent: Inode, name: bytes, caller: Caller) -> tuple[Node, Scheme | None]:
        directory = parent.node
        if not isinstance(directory, Directory):
            raise SchemeError(errno.ENOTDIR, "not a directory")
        try:
            permissions.require(directory, caller, permissions.EXECUTE, "this directory")
            if name == b"..":
                up = parent.parent or parent
                return up.node, up.scheme
            if name == b".":
                return directory, parent.scheme
            node = readme.lookup(directory, name.decode(), caller)
        except UnicodeDecodeError:
            raise SchemeError(errno.ENOENT, "names are UTF-8") from None
        except SchemeError as error:
            # A lookup for open looks like a lookup for stat, so both are recorded. Shells and tools look up names with
            # a leading dot by themselves (.git): those must not replace the reason of a failure that a user has seen.
            if not (error.errno == errno.ENOENT and name.startswith(b".")):
                self._record(parent, caller, error)
            raise
        return node, self._schemes.get(node) or parent.scheme if isinstance(node, Directory) else parent.scheme

    @answering
    async def lookup(self, request: Request, parent: int, name: bytes, ctx: Any) -> Any:
        """Find a name and give it an inode number. There is no other side effect."""
        directory = self.inodes[parent]
        caller = _caller(ctx)
        node, scheme = self._find(directory, name, caller)
        return attributes_of(self._lookups.inode_for(caller, node, directory, scheme, name))

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        """Take lookups back: each of *inode_list* is (inode number, lookups)."""
        for number, lookups in inode_list:
            if not self.inodes.forget(number, lookups):
                log.error("the kernel forgot inode %d, which it does not have", number)

    @answering
    async def getattr(self, request: Request, inode: int, ctx: Any) -> Any:
        """Return what stat(2) shows. The length of a text is that of what the caller would read."""
        found = self.inodes[inode]
        node = found.node
        if isinstance(node, TextFile):
            caller = _caller(ctx)
            readable = permissions.permits(node, caller, permissions.READ)
            found.length = self._renderings.length(node, caller, self.waiting.clock()) if readable else 0
        return attributes_of(found)

    @answering
    async def setattr(self, request: Request, inode: int, attr: Any, fields: Any, fh: int | None, ctx: Any) -> Any:
        """Truncate a text; accept new times (touch) without effect. EPERM: a new mode or owner."""
        if fields.update_mode or fields.update_uid or fields.update_gid:
            raise SchemeError(errno.EPERM, "modes and owners can't be changed")
        if fields.update_size:
            self._truncate(self.inodes[inode], attr.st_size, fh, _caller(ctx))
        return attributes_of(self.inodes[inode])

    def _truncate(self, inode: Inode, size: int, fh: int | None, caller: Caller) -> None:
        """Set the length of a text: of the open file *fh*, or of a path. Other files have no length."""
        node, now = inode.node, self.waiting.clock()
        permissions.require(node, caller, permissions.WRITE, "this file")
        if fh is not None:
            self.files[fh].truncate(size, now)
        elif isinstance(node, TextFile):
            file = OpenText(inode, caller, node, now, os.O_WRONLY, renderings=self._renderings)
            try:
                file.truncate(size, now)
            finally:
                file.release(now)

    @answering
    async def readlink(self, request: Request, inode: int, ctx: Any) -> bytes:
        """Return the target of a symbolic link."""
        node = self.inodes[inode].node
        if not isinstance(node, SymbolicLink):
            raise SchemeError(errno.EINVAL, "not a symbolic link")
        return node.target.encode()

    @answering
    async def access(self, request: Request, inode: int, mode: int, ctx: Any) -> bool:
        """Answer access(2) by the rules of open."""
        return permissions.permits(self.inodes[inode].node, _caller(ctx), mode)

    @answering
    async def getxattr(self, request: Request, inode: int, name: bytes, ctx: Any) -> bytes:
        """Return what an open stream shows of itself, such as its conversation (`tcp/7`). ENODATA: no such attribute.

        The caller needs the rights of an open, but for the name, which `schemefs which` prints for any descriptor.
        """
        found = self.inodes[inode]
        handle, namespace = found.handle, name[: len(USER)]
        if handle is None or namespace != USER:
            raise pyfuse3.FUSEError(errno.ENODATA)
        if name != CONVERSATION:
            readable = found.node.mode & 0o444
            right = permissions.READ if readable else permissions.WRITE
            permissions.require(found.node, _caller(ctx), right, "this file")
        value = handle.attribute(name[len(USER) :].decode(errors="replace"), self.waiting.clock())
        if value is None:
            raise pyfuse3.FUSEError(errno.ENODATA)
        return value

    @answering
    async def listxattr(self, request: Request, inode: int, ctx: Any) -> Sequence[bytes]:
        """List `user.conversation` for an open stream of a conversation."""
        handle = self.inodes[inode].handle
        return [CONVERSATION] if handle is not None and handle.name else []

    # Directories

    @answering
    async def opendir(self, request: Request, inode: int, ctx: Any) -> int:
        """Open a directory to list it."""
        directory = self.inodes[inode].node
        if not isinstance(directory, Directory):
            raise SchemeError(errno.ENOTDIR, "not a directory")
        caller = _caller(ctx)
        permissions.require(directory, caller, permissions.READ, "this directory")
        self._last_file += 1
        self._opens[self._last_file] = inode, caller
        return self._last_file

    @answering
    async def readdir(self, request: Request, fh: int, start_id: int, token: Any) -> None:
        """Reply with the names from *start_id* on, as many as fit. At 0 (rewinddir), list what is there now."""
        number, caller = self._opens[fh]
        parent = self.inodes[number]
        if not start_id or fh not in self._listings:
            directory = parent.node
            assert isinstance(directory, Directory)  # opendir has checked it
            self._listings[fh] = Listing(readme.listing(directory, caller))
        for number, (name, node) in enumerate(self._listings[fh].after(start_id), start_id + 1):
            scheme = self._schemes.get(node, parent.scheme) if isinstance(node, Directory) else parent.scheme
            inode = self.inodes.remember(node, parent, scheme, name.encode())
            if not pyfuse3.readdir_reply(token, inode.name, attributes_of(inode), number):
                self.inodes.forget(inode.number, 1)
                return

    async def releasedir(self, fh: int) -> None:
        """Drop the listing that `opendir` took."""
        self._listings.pop(fh, None)
        self._opens.pop(fh, None)

    # Files

    @may_park
    async def open(self, request: Request, inode: int, flags: int, ctx: Any) -> bytes:
        """Open a file. Only a stream may wait (connect, accept), and a signal ends that wait."""
        found = self.inodes[inode]
        caller = _caller(ctx)
        if self.closing:
            raise SchemeError(errno.ENOTCONN, "the mount is ending: it opens no more files")
        file = await self._open(found, flags, caller, request[0])
        file.successes.note(caller.pid, self.waiting.clock())
        self._last_file += 1
        self.files[self._last_file] = file
        return OPEN_ANSWER.pack(self._last_file, file.open_flags, 0)

    async def _open(self, inode: Inode, flags: int, caller: Caller, unique: int) -> OpenFile:
        node = inode.node
        permissions.require(node, caller, permissions.wanted_by(flags), "this file")
        if isinstance(node, StreamFile):
            self._renderings.changes += 1
            return await self._streams.open(inode, node, flags, caller, unique)
        if isinstance(node, TextFile):
            now = self.waiting.clock()
            return OpenText(inode, caller, node, now, flags, device=self.device, renderings=self._renderings)
        if isinstance(node, FollowedFile):
            return OpenFollowed(inode, caller, node)
        raise SchemeError(errno.EISDIR, "it is a directory")

    @answering
    async def create(self, request: Request, parent: int, name: bytes, mode: int, flags: int, ctx: Any) -> Any:
        """Refuse O_CREAT for a name that does not exist: EACCES, or the error of the lookup."""
        self._find(self.inodes[parent], name, _caller(ctx))
        raise SchemeError(errno.EACCES, "files can't be created here")

    @may_park
    async def read(self, request: Request, fh: int, offset: int, size: int) -> Buffer | Chunks:
        """Read. The request's flags say whether it may wait: O_NONBLOCK may have been set after open."""
        unique, flags, pid, _ = request
        file = self.files[fh]
        now = self.waiting.clock()
        answer = await file.read(offset, size, unique, flags, now)
        file.successes.note(pid, now)
        file.usage.used_by = pid
        if not isinstance(file, OpenText):
            self._renderings.changes += 1
        return answer

    @may_park
    async def write(self, request: Request, fh: int, offset: int, data: bytes) -> bytes:
        """Write."""
        unique, flags, pid, _ = request
        file = self.files[fh]
        now = self.waiting.clock()
        try:
            count = await file.write(offset, data, unique, flags, now)
        finally:
            self._renderings.changes += 1
        file.successes.note(pid, now)
        file.usage.used_by = pid
        return WRITE_ANSWER.pack(count, 0)

    @answering
    async def poll(self, request: Request, inode: int, fh: int, poll_handle: Any, ctx: Any) -> int:
        """Return the events that are true now; keep *poll_handle* to report the next change."""
        file = self.files[fh]
        if poll_handle is not None:
            file.keep_poll_handle(poll_handle)
        now = self.waiting.clock()
        events = file.poll(now)
        file.polled(_caller(ctx), events, now, waits=poll_handle is not None)
        return events

    async def flush(self, fh: int) -> None:
        """Have what was written to a text take effect at the close of one descriptor. It never waits."""
        file = self.files[fh]
        if isinstance(file, OpenText):
            await self._flush(file)

    @answering
    async def _flush(self, request: Request, file: OpenText) -> None:
        try:
            file.flush(self.waiting.clock())
        except (SchemeError, OSError) as error:
            self._refused_at_close(file, error)
            raise

    def _refused_at_close(self, file: OpenFile, error: Exception) -> None:
        """Record a refusal that few programs report; raise *error* if it is a fault."""
        refusal = refusal_of(error)
        if refusal is None:
            raise error
        self._record(file.inode, file.caller, refusal)  # a thread of the kernel closes the files of a killed process
        log.warning("%s: refused at close: %s", file.inode.name.decode(errors="replace"), refusal.sentence)

    @may_park
    async def fsync(self, request: Request, fh: int, datasync: bool) -> bytes:
        """Wait until all written octets are acknowledged; have what was written to a text take effect.

        EAGAIN: a caller that no signal reaches can't wait.
        """
        unique, _, pid, _ = request
        flags = 0 if caller_process.can_be_interrupted(pid) else os.O_NONBLOCK
        await self.files[fh].fsync(unique, flags, self.waiting.clock())
        return b""

    @answering
    async def release(self, request: Request, fh: int) -> None:
        """Close an open file: its last descriptor was closed."""
        file = self.files.pop(fh)
        try:
            file.release(self.waiting.clock())
        except (SchemeError, OSError) as error:
            self._refused_at_close(file, error)
        finally:
            if isinstance(file, OpenStream):
                self._renderings.changes += 1
                file.inode.closed()

    async def statfs(self, ctx: Any) -> Any:
        """Return what statfs(2) and df show."""
        return statfs()

    mkdir = refuse("mkdir")
    mknod = refuse("mknod")
    symlink = refuse("symlink")
    link = refuse("link")
    unlink = refuse("unlink")
    rmdir = refuse("rmdir")
    rename = refuse("rename")
    setxattr = refuse("setxattr")
    removexattr = refuse("removexattr")


def entry(operations: Operations) -> tuple[Callable[..., None], Callable[..., None]]:
    """Return what the hooks call for READ and WRITE: the handlers, without pyfuse3."""
    read, write = (partial(answer_now, operations, unwrap(handler)) for handler in (Operations.read, Operations.write))
    return read, write


def _caller(ctx: Any) -> Caller:
    return Caller(ctx.uid, ctx.gid, ctx.pid)
