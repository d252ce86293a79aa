"""A link of IP datagrams whose other end is in this process: frames reach its observers, and go nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemefs.driver import Link, Medium

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemefs.net.buffer import Chunks
    from schemefs.net.offload import Offload


class MemoryLink(Link):
    """Takes every frame."""

    device = "memory"
    medium = Medium.IP

    def send(self, chunks: Chunks, offload: Offload, now: float) -> bool:
        """Show the frame to the observers, as on a wire."""
        self.observe(chunks, offload, outgoing=True, now=now)
        return True

    def statistics(self) -> Mapping[str, int | float | str]:
        """Return the number of frames sent."""
        return {"out_frames": self.observed}
