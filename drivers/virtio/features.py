"""Feature bits of a network device (VIRTIO 1.2 §5.1.3, §6), and those that a driver may accept."""

from __future__ import annotations

from enum import IntFlag
from typing import Final


class Feature(IntFlag):
    """What a device offers and a driver accepts. Tested when a link starts, never per frame."""

    CSUM = 1 << 0  # the device completes partial checksums of what we send
    GUEST_CSUM = 1 << 1  # we take frames with partial checksums
    MTU = 1 << 3
    MAC = 1 << 5
    GUEST_TSO4 = 1 << 7  # we take super-segments
    GUEST_TSO6 = 1 << 8
    HOST_TSO4 = 1 << 11  # the device cuts super-segments that we send
    HOST_TSO6 = 1 << 12
    HOST_ECN = 1 << 13  # … also those with CWR on the first segment
    STATUS = 1 << 16
    EVENT_IDX = 1 << 29
    VERSION_1 = 1 << 32
    GUEST_USO4 = 1 << 54  # VIRTIO 1.3 §5.1.3, in Linux since 6.2
    GUEST_USO6 = 1 << 55
    HOST_USO = 1 << 56


REQUIRES: Final = {  # §5.1.3.1: the left needs (one of) the right
    Feature.GUEST_TSO4: Feature.GUEST_CSUM,
    Feature.GUEST_TSO6: Feature.GUEST_CSUM,
    Feature.GUEST_USO4: Feature.GUEST_CSUM,
    Feature.GUEST_USO6: Feature.GUEST_CSUM,
    Feature.HOST_TSO4: Feature.CSUM,
    Feature.HOST_TSO6: Feature.CSUM,
    Feature.HOST_USO: Feature.CSUM,
    Feature.HOST_ECN: Feature.HOST_TSO4 | Feature.HOST_TSO6,
}


def negotiate(offered: int) -> Feature:
    """Return the features of *offered* that a driver accepts: those of `Feature` whose precondition is accepted too.

    MRG_RXBUF is not accepted: each buffer holds the largest frame, so no frame needs two.
    """
    accepted = Feature(0)
    for feature in Feature:
        if offered & feature:
            accepted |= feature
    for feature, needed in REQUIRES.items():
        if not accepted & needed:
            accepted &= ~feature
    return accepted


def feature_names(features: Feature) -> str:
    """Return the names of the bits set, joined by spaces, lowest bit first."""
    return " ".join(str(feature.name).lower() for feature in features)
