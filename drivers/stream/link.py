"""The link of the stream driver: frames to and from a socket, and never a part of a frame. Sans-IO but for the socket.

The other end completes no checksum and cuts no super-segment: both are done here, before the socket. Checksums are
left out where the other end is a program of ours that uses only the payload (`has_checksums`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from drivers.stream.framing import LARGEST_FRAME, LENGTH, FrameReader
from schemefs.driver import Link, Medium
from schemefs.log import TRACE
from schemefs.net.buffer import total_length
from schemefs.net.offload import CHECKED, GSO_NONE, NO_OFFLOAD, split

if TYPE_CHECKING:
    import logging
    import socket
    from collections.abc import Callable, Mapping

    from schemefs.net.buffer import Buffer, Chunks
    from schemefs.net.offload import Offload

VECTOR: Final = 1000  # buffers in one sendmsg: IOV_MAX is 1024


class StreamLink(Link):
    """*on_blocked* is called when the socket took a part only: call `flush` when it can be written.

    *has_checksums*: those of TCP, UDP and ICMP are completed before the socket, and checked in what comes from it. In
    Python that costs more than everything else: 7 s for a GiB.
    """

    medium = Medium.ETHERNET

    def __init__(
        self,
        name: str,
        *,
        mac: bytes,
        mtu: int,
        device: str,
        log: logging.Logger,
        on_blocked: Callable[[], None],
        has_checksums: bool = True,
    ) -> None:
        super().__init__()
        self.name = name
        self.mac = mac
        self.mtu = mtu
        self.device = device
        self.log = log
        self.reader = FrameReader()
        self._on_blocked = on_blocked
        self._has_checksums = has_checksums
        self._received_offload = NO_OFFLOAD if has_checksums else CHECKED
        self._socket: socket.socket | None = None
        self._rest = memoryview(b"")  # of frames that the socket has taken a part of
        self._is_refusing = False
        self._sent_frames = 0
        self._sent_octets = 0
        self._received_frames = 0
        self._received_octets = 0
        self._refused = 0
        self._connections = 0
        self._dropped_not_connected = 0
        self._dropped_too_large = 0

    @property
    def is_connected(self) -> bool:
        """Whether there is another end now."""
        return self._socket is not None

    def connected(self, peer: socket.socket, now: float) -> None:
        """Send to *peer*, a non-blocking stream socket, and expect its frames."""
        self._socket = peer
        self._connections += 1
        self.reader.reset()
        self.set_fault("", now)

    def disconnected(self, reason: str, now: float) -> None:
        """Drop frames, as an unplugged cable does, until `connected`. *reason* is a clause."""
        self._socket = None
        self._rest = memoryview(b"")
        self._report_space(now)
        self.set_fault(reason, now)

    def send(self, chunks: Chunks, offload: Offload, now: float) -> bool:
        """Write the frame to the socket. False: it is full, nothing was taken; `on_space` follows."""
        if self._rest:
            self._refused += 1
            self._is_refusing = True
            return False
        if self._socket is None:
            self._dropped_not_connected += 1
            self.samples.keep("not_connected", b"".join(chunks), is_frame=True)
            return True
        frames = self._finished(chunks, offload)
        if any(total_length(frame) > LARGEST_FRAME for frame in frames):
            self._dropped_too_large += 1
            self.samples.keep("too_large", b"".join(chunks), is_frame=True)
            return True
        if not self._write(frames):
            self._refused += 1
            self._is_refusing = True
            self._on_blocked()
            return False
        self._sent_frames += len(frames)
        self._sent_octets += sum(map(total_length, frames))
        if self.log.isEnabledFor(TRACE):
            self.log.log(TRACE, "sent %d octets in %d frames", total_length(chunks), len(frames))
        if self.observers:
            self.observe(chunks, offload, outgoing=True, now=now)
        return True

    def flush(self, now: float) -> bool:
        """Write what is left of the frames that were taken. Return whether all of it has gone; `on_space` follows."""
        if self._rest:
            self._rest = self._rest[self._sent([self._rest]) :]
        if self._rest:
            return False
        self._report_space(now)
        return True

    def deliver(self, now: float, limit: int) -> bool:
        """Pass on at most *limit* frames that `reader` has. Return whether more may wait. FramingError: see there."""
        offload = self._received_offload

        def deliver(frame: memoryview) -> None:
            self._received_frames += 1
            self._received_octets += len(frame)
            if self.log.isEnabledFor(TRACE):
                self.log.log(TRACE, "received %d octets", len(frame))
            if self.observers:
                self.observe((frame,), offload, outgoing=False, now=now)
            self.receive(frame, offload, now)

        return self.reader.deliver(deliver, limit)

    def statistics(self) -> Mapping[str, int | float | str]:
        """Return the counters of frames, then of the socket."""
        return {
            "received_frames": self._received_frames,
            "received_octets": self._received_octets,
            "sent_frames": self._sent_frames,
            "sent_octets": self._sent_octets,
            "rx_lent": self.reader.lent,
            "refused_socket_full": self._refused,
            "connected": int(self.is_connected),
            "connections": self._connections,
            "dropped_not_connected": self._dropped_not_connected,
            "dropped_too_large": self._dropped_too_large,
        }

    def _finished(self, chunks: Chunks, offload: Offload) -> list[Chunks]:
        """Return the frames as they leave: checksums complete, cut to gso_size."""
        if offload is NO_OFFLOAD:
            return [chunks]
        if not self._has_checksums:
            if offload.gso_type == GSO_NONE:
                return [chunks]
            offload = offload._replace(flags=0)
        return [(frame,) for frame in split(chunks, offload, self.network_offset(chunks[0]))]

    def _write(self, frames: list[Chunks]) -> bool:
        """Write whole frames. False: the socket took no octet of them. What it left of a frame is kept."""
        vector: list[Buffer] = []
        for frame in frames:
            vector.append(LENGTH.pack(total_length(frame)))
            vector.extend(frame)
        sent = self._sent(vector)
        if not sent:
            return False
        if sent < total_length(vector):  # a copy: the chunks are the sender's
            self._rest = memoryview(b"".join(vector))[sent:]
            self._on_blocked()
        return True

    def _sent(self, vector: list[Buffer]) -> int:
        """Return how many octets the socket took. A peer that is gone takes all: the receiving task notices its end."""
        assert self._socket is not None
        try:
            return self._socket.sendmsg(vector[:VECTOR])
        except BlockingIOError:
            return 0
        except OSError as error:
            self.log.debug("a frame was not sent: %s", error.strerror)
            return total_length(vector)

    def _report_space(self, now: float) -> None:
        if self._is_refusing:
            self._is_refusing = False
            self.space(now)
