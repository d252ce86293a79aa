"""`schemefs tcpdump` on a live link: its lines are those that tcpdump prints of the same capture, with our comments."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.testing.network import TapNetwork
from tests.support.families import V4, Family
from tests.support.open_to_all import open_to_all
from tests.support.ordinary_user import as_ordinary_user
from tests.support.running_tools import Tools
from tests.support.tools_in_process import call

pytestmark = pytest.mark.needs("fuse", "tap", "root")


@pytest.fixture(scope="module")
def network(module_tap_network: TapNetwork) -> TapNetwork:
    return module_tap_network


@pytest.fixture
def tools(network: TapNetwork) -> Iterator[Tools]:
    made = Tools(network.mount)
    yield made
    made.close()


def ping(network: TapNetwork, family: Family = V4) -> None:
    network.run_peer(["ping", "-c", "1", family.ours])


def echo(family: Family, source: str, destination: str) -> list[str]:
    """Return how tcpdump begins the lines of an echo request and its reply."""
    ip, icmp = family.pick(("IP", "ICMP"), ("IP6", "ICMP6,"))
    ends = ((source, destination, "request"), (destination, source, "reply"))
    return [f"{ip} {one} > {other}: {icmp} echo {kind}" for one, other, kind in ends]


def started(tools: Tools, *words: str) -> subprocess.Popen[bytes]:
    """Start tcpdump; return once its capture is open."""
    process = tools.start("tcpdump", *words)
    assert process.stderr is not None
    assert process.stderr.readline().startswith(b"listening on ")
    return process


def ended(process: subprocess.Popen[bytes]) -> tuple[list[str], str]:
    """Send Ctrl-C; return the lines, and what is on standard error."""
    process.send_signal(signal.SIGINT)
    output, error = process.communicate(timeout=20)
    assert process.returncode == 0, error
    return output.decode().splitlines(), error.decode()


def test_lines_of_a_live_link_until_ctrl_c(network: TapNetwork, tools: Tools, family: Family) -> None:
    process = started(tools, "-tt", f"{family.pick('icmp', 'icmp6')} and host {family.peer}")
    ping(network, family)
    assert process.stdout is not None
    lines = [process.stdout.readline().decode()]
    while "echo reply" not in lines[-1]:
        lines.append(process.stdout.readline().decode())
    rest, error = ended(process)
    printed = len(lines) + len(rest)
    lines = [line for line in (*lines, *rest) if " echo " in line]  # and Neighbor Discovery
    assert [line.split(" ", 1)[1].partition(", id")[0] for line in lines] == echo(family, family.peer, family.ours)
    assert error == f"{printed} packets captured\n0 packets dropped by the capture\n"


@pytest.mark.needs("tcpdump")
def test_a_written_capture_is_read_by_tcpdump_and_by_us(
    network: TapNetwork, tools: Tools, family: Family, tmp_path: Path
) -> None:
    path = tmp_path / "web.pcapng"
    process = started(tools, "-i", "eth0", "-w", str(path), "tcp or icmp or icmp6")
    (network.mount.path / "netcfg/ifaces/eth0/impair").write_text("drop tcp syn 1\n")
    subprocess.run(["cat", network.mount.path / f"icmp/ping/{family.peer},count=1"], check=True, capture_output=True)
    tools.run("nc", "-z", "-w", "5", family.peer, "7300", status=1)
    (network.mount.path / "netcfg/ifaces/eth0/impair").write_text("none\n")
    assert ended(process)[0] == []
    theirs = subprocess.run(["tcpdump", "-n", "-r", path], check=True, capture_output=True, text=True, timeout=20)
    ours = call(Path("/nowhere"), "tcpdump", "-r", str(path)).splitlines()
    assert ours.pop(0).startswith(f"reading from file {path}, link-type EN10MB (Ethernet), snapshot length ")
    assert [line.partition("  # ")[0] for line in ours] == theirs.stdout.splitlines()
    assert [line for line in ours if "Flags [S]" in line and line.endswith("  # again: SYN, try 2")] != []
    echoes = call(Path("/nowhere"), "tcpdump", "-r", str(path), family.pick("icmp", "icmp6")).splitlines()
    assert len([line for line in echoes if " echo " in line]) == 2


def test_the_capture_of_all_interfaces_and_a_count(network: TapNetwork, tools: Tools) -> None:
    process = started(tools, "-i", "any", "-c", "4", "-t", "icmp")
    tools.run("ping", "-c", "1", "127.0.0.1")
    ping(network)
    output, error = process.communicate(timeout=20)
    assert [line.partition(": ICMP")[0] for line in output.decode().splitlines()] == [
        "lo    In  IP 127.0.0.1 > 127.0.0.1", "lo    In  IP 127.0.0.1 > 127.0.0.1",
        "eth0  In  IP 10.0.2.2 > 10.0.2.15", "eth0  Out IP 10.0.2.15 > 10.0.2.2",
    ]  # fmt: skip
    assert error.decode().endswith("4 packets captured\n0 packets dropped by the capture\n")


def test_history_has_the_frames_of_before(network: TapNetwork, tools: Tools) -> None:
    history = network.mount.path / "netcfg/ifaces/eth0/history"
    assert history.read_text() == "0\n"
    history.write_text("100000\n")
    ping(network)
    lines = call(network.mount.path, "tcpdump", "--history", "-c", "2", "icmp").splitlines()
    assert [line.partition(", id")[0].partition(" IP ")[2] for line in lines if " IP " in line] == [
        "10.0.2.2 > 10.0.2.15: ICMP echo request", "10.0.2.15 > 10.0.2.2: ICMP echo reply",
    ]  # fmt: skip
    history.write_text("0\n")
    with pytest.raises(OSError, match="Invalid argument"):
        history.write_text("lots\n")
    assert (network.mount.path / "netcfg/err").read_text() == "'lots' is not a number from 0 to 268435456\n"


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        ("tcp prot 80", 1, "the filter needs 'and' or 'or' at character 5, 'prot'"),
        ("-i eth7", 1, "network/eth7/capture.pcapng: No such file or directory: there is no 'eth7' here; there are: "),
        ("-i tcp/99", 1, "tcp/99/capture.pcapng: No such file or directory"),
        ("-r /nowhere/x", 1, "/nowhere/x: No such file or directory"),
        ("-w /nowhere/x", 1, "/nowhere/x: No such file or directory"),
        ("-i eth0 -r x", 1, "-i and -r can't be given together"),
        ("-ttt", 1, "-ttt is not one of -t, -tt and -tttt"),
        ("-X", 2, "-X is an option of tcpdump itself: schemefs run "),
    ],
)
def test_mistakes_get_a_sentence(network: TapNetwork, words: str, status: int, sentence: str) -> None:
    assert (
        call(network.mount.path, "tcpdump", *words.split(), status=status)
        .splitlines()[-1]
        .startswith(f"schemefs: {sentence}")
    )


def test_a_cut_file_prints_what_is_whole(network: TapNetwork, tmp_path: Path) -> None:
    path = tmp_path / "cut.pcapng"
    source = os.open(network.mount.path / "network/eth0/capture.pcapng", os.O_RDONLY)
    ping(network)
    path.write_bytes(os.read(source, 1 << 20)[:-3])
    os.close(source)
    lines = call(network.mount.path, "tcpdump", "-r", str(path), status=1).splitlines()
    assert len(lines) > 2
    assert lines[-1].startswith(f"schemefs: {path}: the capture ends inside the block at octet ")


@pytest.mark.full
@pytest.mark.needs("userns")
def test_an_ordinary_user_captures_no_link(network: TapNetwork) -> None:
    command = [*as_ordinary_user(), sys.executable, "-m", "schemefs", "tcpdump", "--mount", str(network.mount.path)]
    with open_to_all(network.mount.path.parent):
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (1, "")
    denied = "Permission denied: this file may not be read and written by uid 65534 (mode 0600)"
    assert done.stderr == f"schemefs: network/eth0/capture.pcapng: {denied}\n"
