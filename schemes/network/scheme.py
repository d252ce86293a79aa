"""The network scheme: `network/<if>/{mac,frames,stats}` for each link that a driver has attached.

Redox has one scheme per driver (`network.<device>_virtio_net`) with `mac` and the frames at its root; here it is one
directory per interface. Only root and whom the daemon runs as may open `frames`.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar, Final

from schemefs.errors import SchemeError
from schemefs.net.addresses import mac_text
from schemefs.scheme import Caller, Scheme, SchemeContext, StaticDirectory, StreamFile, TextFile
from schemes.network.frames import FramesHandle, LinkFrames

if TYPE_CHECKING:
    from schemefs.driver import Link

README: Final = """\
network: the drivers, one directory per interface.

<if>/mac      its hardware address; empty where the medium has none (lo)
<if>/stats    counters and ring indices, key=value
<if>/frames   raw frames, one per read and one per write: what is received, and a way to send. For root.

    timeout 1 head -c 60 frames | od -A d -t x1     the beginning of the next frame
"""


class NetworkScheme(Scheme):
    """The drivers: raw frames, hardware addresses, what the rings did."""

    name: ClassVar[str] = "network"

    def __init__(self, context: SchemeContext) -> None:
        super().__init__(context)
        self._frames: dict[str, LinkFrames] = {}
        self._links = self.root = StaticDirectory({"README": TextFile(lambda: README), "err": self.err})

    def link_attached(self, link: Link, now: float) -> None:
        """Show the link."""
        del now
        frames = self._frames[link.name] = LinkFrames(link)
        self._links.children[link.name] = StaticDirectory(
            {
                "mac": TextFile(lambda: f"{mac_text(link.mac)}\n" if link.mac else "").described("hardware address"),
                "frames": FramesFile(self.context, frames).described("raw frames, one per read and write; for root"),
                "stats": TextFile(lambda: stats(link, frames)).described("counters and ring indices, name=value"),
            }
        ).described(f"the driver of {link.name}: {link.device}")

    def link_detached(self, link: Link, now: float) -> None:
        """Take it away; its readers get end of file."""
        del now
        del self._links.children[link.name]
        self._frames.pop(link.name).detach()


class FramesFile(StreamFile):
    """`frames`: a reader and writer of its own for each open."""

    mode = 0o600

    def __init__(self, context: SchemeContext, frames: LinkFrames) -> None:
        self._context = context
        self._frames = frames
        self.uid = context.uid

    def open(self, flags: int, caller: Caller, now: float) -> FramesHandle:
        """Begin to look. EACCES: not for everybody."""
        del now
        if not self._context.is_privileged(caller):
            raise SchemeError(errno.EACCES, "raw frames are for root and for whom the daemon runs as")
        return self._frames.open(flags)


def stats(link: Link, frames: LinkFrames) -> str:
    """Return the link's statistics and those of its open `frames`, one `key=value` per line."""
    values = {
        "device": link.device,
        **link.statistics(),
        "frames_readers": len(frames.readers),
        "dropped_reader_behind": frames.dropped_reader_behind,
    }
    return "".join(f"{key}={value}\n" for key, value in values.items())
