"""The blocks of a capture in the format of Wireshark (draft-ietf-opsawg-pcapng), little-endian, times in nanoseconds.

`dpkt.pcapng` has the section, interface and packet blocks. Those that it lacks are subclasses of its block here. Its
packet block is as long as its octets, so one that is cut to a snap length needs a subclass, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Final

from dpkt import pcapng

ETHERNET: Final = 1  # LINKTYPE_ETHERNET
RAW_IP: Final = 101  # LINKTYPE_RAW: the frame begins with an IPv4 or IPv6 header

_NANOSECONDS: Final = b"\x09"  # if_tsresol
_EPB_FLAGS: Final = 2
_INBOUND: Final = (1).to_bytes(4, "little")
_OUTBOUND: Final = (2).to_bytes(4, "little")
_ISB_IFDROP: Final = 5
_RECORD: Final = Struct("<HH")  # of a names block: its kind, and the length of its value
_RECORD_IPV4: Final = 1
_RECORD_IPV6: Final = 2


class PacketBlock(pcapng.EnhancedPacketBlockLE):  # type: ignore[misc] # dpkt has no types
    """A packet of which the first octets are kept: `pkt_data` of `pkt_len`."""

    def __bytes__(self) -> bytes:
        """Return the block."""
        options = self._do_pack_options()
        data = self.pkt_data
        length = self.__hdr_len__ + len(_padded(data)) + len(options)
        head = self._pack_hdr(
            self.type, length, self.iface_id, self.ts_high, self.ts_low, len(data), self.pkt_len, length
        )
        return b"".join((head[:-4], _padded(data), options, head[-4:]))


class StatisticsBlock(pcapng.PcapngBlockLE):  # type: ignore[misc]
    """What the capture itself has lost (§4.6)."""

    __hdr__ = (
        ("type", "I", 5),
        ("len", "I", 24),
        ("iface_id", "I", 0),
        ("ts_high", "I", 0),
        ("ts_low", "I", 0),
        ("_len", "I", 24),
    )

    def __bytes__(self) -> bytes:
        """Return the block."""
        options = self._do_pack_options()
        length = self.__hdr_len__ + len(options)
        head = self._pack_hdr(self.type, length, self.iface_id, self.ts_high, self.ts_low, length)
        return b"".join((head[:-4], options, head[-4:]))


class NamesBlock(pcapng.PcapngBlockLE):  # type: ignore[misc]
    """Names of addresses (§4.5): records of a kind, a length and a value, the last one of kind 0."""

    __hdr__ = (("type", "I", 4), ("len", "I", 16), ("_len", "I", 16))

    def unpack(self, buf: bytes) -> None:
        """Take the records out of *buf*, a whole block."""
        self.unpack_hdr(buf)
        self.records = []
        kind, at = 1, self.__hdr_len__ - 4
        while kind:
            kind, length = _RECORD.unpack_from(buf, at)
            if kind:
                self.records.append((kind, buf[at + 4 : at + 4 + length]))
            at += 4 + length + -length % 4

    def __bytes__(self) -> bytes:
        """Return the block."""
        records = [(_RECORD.pack(kind, len(value)), _padded(value)) for kind, value in self.records]
        body = b"".join(map(b"".join, records)) + _RECORD.pack(0, 0)
        length = self.__hdr_len__ + len(body)
        head = self._pack_hdr(self.type, length, length)
        return b"".join((head[:-4], body, head[-4:]))


class SecretsBlock(pcapng.PcapngBlockLE):  # type: ignore[misc]
    """What decrypts packets (§4.7), before the first of them."""

    __hdr__ = (("type", "I", 10), ("len", "I", 20), ("kind", "I", 0x544C534B), ("octets", "I", 0), ("_len", "I", 20))

    def unpack(self, buf: bytes) -> None:
        """Take the secrets out of *buf*, a whole block."""
        self.unpack_hdr(buf)
        self.secrets = buf[16 : 16 + self.octets]

    def __bytes__(self) -> bytes:
        """Return the block."""
        length = self.__hdr_len__ + len(_padded(self.secrets))
        head = self._pack_hdr(self.type, length, self.kind, len(self.secrets), length)
        return b"".join((head[:-4], _padded(self.secrets), head[-4:]))


def section() -> bytes:
    """Return the section header, with which a capture begins."""
    application = [(pcapng.PCAPNG_OPT_SHB_USERAPPL, b"schemefs")]
    return bytes(pcapng.SectionHeaderBlockLE(opts=_options(application)))


def interface(name: str, description: str, link_type: int, snap: int) -> bytes:
    """Return the description of the next interface; the first one is number 0."""
    options = [
        (pcapng.PCAPNG_OPT_IF_NAME, name.encode()),
        (pcapng.PCAPNG_OPT_IF_DESCRIPTION, description.encode()),
        (pcapng.PCAPNG_OPT_IF_TSRESOL, _NANOSECONDS),
    ]
    return bytes(pcapng.InterfaceDescriptionBlockLE(linktype=link_type, snaplen=snap, opts=_options(options)))


def packet(
    interface_number: int, octets: bytes, length: int, seconds: float, *, outgoing: bool, comments: Iterable[str] = ()
) -> bytes:
    """Return the block of a packet of *length* octets, of which *octets* are kept. *seconds* since 1970."""
    high, low = _time(seconds)
    options = [(pcapng.PCAPNG_OPT_COMMENT, comment.encode()) for comment in comments]
    options.append((_EPB_FLAGS, _OUTBOUND if outgoing else _INBOUND))
    block = PacketBlock(
        iface_id=interface_number, ts_high=high, ts_low=low, pkt_len=length, pkt_data=octets, opts=_options(options)
    )
    return bytes(block)


def statistics(interface_number: int, seconds: float, dropped: int) -> bytes:
    """Return how many packets the capture had no room for until now."""
    high, low = _time(seconds)
    options = _options([(_ISB_IFDROP, dropped.to_bytes(8, "little"))])
    return bytes(StatisticsBlock(iface_id=interface_number, ts_high=high, ts_low=low, opts=options))


def names(address: bytes, hosts: Sequence[str]) -> bytes:
    """Return the names of a packed address."""
    value = address + b"".join(host.encode() + b"\0" for host in hosts)
    block = NamesBlock()
    block.records = [(_RECORD_IPV4 if len(address) == 4 else _RECORD_IPV6, value)]
    return bytes(block)


def secrets(key_log: bytes) -> bytes:
    """Return the lines of an NSS key log, which decrypt TLS."""
    block = SecretsBlock()
    block.secrets = key_log
    return bytes(block)


def _options(values: Iterable[tuple[int, bytes]]) -> list[pcapng.PcapngOptionLE]:
    made = [pcapng.PcapngOptionLE(code=code, data=data) for code, data in values]
    return [*made, pcapng.PcapngOptionLE()]


def _time(seconds: float) -> tuple[int, int]:
    nanoseconds = int(seconds * 1e9)
    return nanoseconds >> 32, nanoseconds & 0xFFFFFFFF


def _padded(octets: bytes) -> bytes:
    return octets + bytes(-len(octets) % 4)
