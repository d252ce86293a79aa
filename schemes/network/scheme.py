"""The network scheme: `network/<if>/{mac,frames,stats,faults}` for each attached link.

Redox has one scheme per driver (`network.<device>_virtio_net`) with `mac` and the frames at its root. This scheme has
one directory per interface. Only root and the daemon's user may open `frames` and
`faults`.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar, Final

from schemefs.errors import SchemeError
from schemefs.net import faults
from schemefs.net.addresses import mac_text
from schemefs.scheme import Caller, Scheme, SchemeContext, StreamFile, TextFile
from schemes.network.capture import CapturedDirectory, CaptureHandle
from schemes.network.captures import LinkCaptures
from schemes.network.faults import FaultsFile
from schemes.network.frames import FramesHandle, LinkFrames

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemefs.driver import Link
    from schemefs.net.capture_filter import Filter

README: Final = """\
network: the drivers, one directory per interface.

<if>/mac             hardware address; empty if the medium has none (lo)
<if>/stats           counters and ring indices, key=value
<if>/frames          raw frames: a read returns one received frame, a write sends one. For root.
<if>/capture.pcapng  frames from now on, for Wireshark; a write is a filter; ,snap=128 and ,filter=tcp keep less
                     ,history: first those that netcfg/ifaces/<if>/history has kept
capture.pcapng       those of every interface that there is when it is opened
<if>/faults          a rule a line: echo 'withhold completion tx 2 for 500ms' >faults; echo clear >faults. For root.

    timeout 1 head -c 60 frames | od -A d -t x1     the first octets of the next frame
"""


class NetworkScheme(Scheme):
    """The drivers: raw frames, hardware addresses and ring counters."""

    name: ClassVar[str] = "network"

    def __init__(self, context: SchemeContext) -> None:
        super().__init__(context)
        self._frames: dict[str, LinkFrames] = {}
        self._captures: dict[str, LinkCaptures] = {}
        context.tree.capture = self.capture
        files = {"README": TextFile(lambda: README), "err": self.err}
        self._links = self.root = CapturedDirectory(context, self.name, self._every_link, files)

    def capture(self, kept: Filter, name: str, secrets: Callable[[], bytes | None], limit: int = 0, /) -> CaptureHandle:
        """Begin a capture of the frames that the filter keeps, on every interface that there is now."""
        handle = CaptureHandle(self._every_link(), name, kept, names_of=self.context.names.names_of)
        handle.wait_for_secrets(secrets, limit)
        return handle

    def _every_link(self) -> list[LinkCaptures]:
        return list(self._captures.values())

    def link_attached(self, link: Link, now: float) -> None:
        """Add the link's directory."""
        del now
        frames = self._frames[link.name] = LinkFrames(link)
        captures = self._captures[link.name] = LinkCaptures(link, self.context)
        link.samples.notice = self.context.drops
        self._links.children[link.name] = CapturedDirectory(
            self.context,
            f"{self.name}/{link.name}",
            lambda: [captures],
            {
                "mac": TextFile(lambda: f"{mac_text(link.mac)}\n" if link.mac else "").described("hardware address"),
                "frames": FramesFile(self.context, frames).described("raw frames, one per read and write; for root"),
                "faults": FaultsFile(self.context, link).described("faults on purpose: lose interrupt rx 1…; for root"),
                "stats": TextFile(lambda: stats(link, frames)).described("counters and ring indices, name=value"),
            },
        ).described(f"the driver of {link.name}: {link.device}")

    def link_detached(self, link: Link, now: float) -> None:
        """Remove the link's directory. Readers of its `frames` get end of file."""
        del now
        del self._links.children[link.name]
        self._frames.pop(link.name).detach()
        self._captures.pop(link.name).detach()


class FramesFile(StreamFile):
    """`frames`: each open has a queue of its own."""

    mode = 0o600

    def __init__(self, context: SchemeContext, frames: LinkFrames) -> None:
        self._context = context
        self._frames = frames
        self.uid = context.uid

    def open(self, flags: int, caller: Caller, now: float) -> FramesHandle:
        """Open raw frames. EACCES: the caller is neither root nor the daemon's user."""
        del now
        if not self._context.is_privileged(caller):
            raise SchemeError(errno.EACCES, faults.not_privileged("open raw frames"))
        return self._frames.open(flags)


def stats(link: Link, frames: LinkFrames) -> str:
    """Return the statistics of the link and of its open `frames` files, one `key=value` per line."""
    values = {
        "device": link.device,
        **link.statistics(),
        "frames_readers": len(frames.readers),
        "dropped_reader_behind": frames.dropped_reader_behind,
    }
    return "".join(f"{key}={value}\n" for key, value in values.items())
