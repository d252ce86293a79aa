"""`schemefs lab --capture FILE`: every link in one file, which can be read however the lab ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from schemefs.capture_reader import CapturedPacket, CaptureError, CaptureReader
from schemefs.testing.observing import wait_until

pytestmark = pytest.mark.needs("fuse", "tap", "root", "ping")

LAB = [sys.executable, "-m", "schemefs", "lab"]
LINKS = {"client-router", "server-router"}


def echoes(path: Path) -> list[CapturedPacket]:
    """Return the echo requests and replies; of a file that is being written, those that are whole."""
    found = []
    with path.open("rb") as file:
        try:
            found += [packet for packet in CaptureReader(file) if packet.octets[12:14] == b"\x08\0"]
        except CaptureError:
            assert found or path.stat().st_size < 100
    return [packet for packet in found if packet.octets[23] == 1]


def has_the_ping(path: Path) -> bool:
    return path.exists() and len(echoes(path)) >= 4


@pytest.mark.parametrize("end", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.full)])
def test_every_link_is_recorded_whatever_ends_the_lab(tmp_path: Path, end: signal.Signals) -> None:
    path = tmp_path / "all.pcapng"
    script = "ping -c 1 server >/dev/null && exec sleep 100"
    options = ["--link", "server=delay 5ms", "--capture", str(path)]
    with subprocess.Popen(
        [*LAB, *options, "--", "sh", "-c", script], stderr=subprocess.DEVNULL, process_group=0
    ) as lab:
        try:
            wait_until(lambda: has_the_ping(path) or lab.poll() is not None, patience=30)
            lab.send_signal(end)
            lab.wait(20)
        finally:
            lab.kill()
    with path.open("rb") as file:
        packets = list(CaptureReader(file))  # whole to its end
    assert {packet.interface.name for packet in packets} == LINKS
    assert sorted((packet.interface.name, packet.is_outgoing) for packet in echoes(path)) == [
        ("client-router", False), ("client-router", True), ("server-router", False), ("server-router", True),
    ]  # fmt: skip
    delayed = [packet for packet in echoes(path) if "impaired: delayed 5 ms by rule 1" in packet.comments]
    assert {packet.interface.name for packet in delayed} == {"server-router"}


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/nonexistent/all.pcapng", "No such file or directory"),
        pytest.param("/dev/full", "No space left on device", marks=pytest.mark.full),
    ],
)
def test_a_file_that_can_not_be_written_gets_a_sentence(path: str, reason: str) -> None:
    done = subprocess.run(
        [*LAB, "--capture", path, "--", "true"], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"schemefs: --capture {path}: {reason}"
