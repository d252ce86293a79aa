"""The faults of docs/field-notes.md that need a mount, and the commands of its second table: of IPv4, as noted."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import pytest

from schemefs.testing.observing import wait_until

pytestmark = pytest.mark.needs("fuse")

NOTES = Path(__file__).parents[2] / "docs/field-notes.md"


def shell(command: str, mount: Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a line of the notes, with the mount's path instead of /scheme."""
    line = re.sub(r"/scheme(?=[/ ])", str(mount), command)
    return subprocess.run(
        ["bash", "-c", line],
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
        **options,  # type: ignore[call-overload]
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_caller_can_not_be_killed(module_scheme_mount, number) -> None:
    """ "kill and kill -9 do not work on processes in UB state… Reboot is the only way."""
    reader = subprocess.Popen(["cat", module_scheme_mount.path / "icmp/errors"], stdout=subprocess.PIPE)
    try:
        # Send the signal only after the kernel shows the call as blocked.
        stat = Path(f"/proc/{reader.pid}/wchan")
        wait_until(lambda: "request_wait" in stat.read_text(), stat.read_text)
        reader.send_signal(number)
        assert reader.wait(5) == -number
    finally:
        reader.kill()
        reader.communicate()


def test_cat_of_route_hangs(module_scheme_mount) -> None:
    """ "cat /scheme/netcfg/route hangs and corrupts shell"."""
    done = shell("timeout 5 cat /scheme/netcfg/route; echo still here", module_scheme_mount.path)
    assert "Is a directory" in done.stderr
    assert done.stdout == "still here\n"


def test_requests_from_a_login_shell_never_arrive(mount_scheme) -> None:
    """A session from before the daemon's start, one from after it, and a background job: each gets its answer."""
    before = subprocess.Popen(["bash", "-l"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    mounted = mount_scheme("--driver", "loopback")
    path = mounted.path / "netcfg/iface/lo/addr"
    output, _ = before.communicate(f"cat {path}\n(cat {path}) & wait\n", timeout=10)
    assert output == "127.0.0.1/8\n" * 2
    after = subprocess.run(
        ["setsid", "bash", "-lc", f"cat {path}"], check=True, capture_output=True, text=True, timeout=10
    )
    assert after.stdout == "127.0.0.1/8\n"


@pytest.mark.needs("root", "tap")
def test_device_missing_when_an_unrelated_option_is_off(namespace, mount_scheme) -> None:
    """In the notes eth0 existed only with a forwarded port. Here it needs no configuration of the host's side."""
    from schemefs.testing.mount import SchemeMount

    with SchemeMount("--driver", "tap", "--host-address", "none", prefix=namespace.prefix) as mounted:
        assert "schemefs0" in namespace.run(["ip", "-br", "link"]).stdout
        assert (mounted.path / "netcfg/iface/eth0/addr").read_text() == "10.0.2.15/24\n"


COMMANDS = {  # a command of the page: the pattern of its output
    "ls /scheme | grep -E 'ip|tcp|udp|icmp|netcfg'": r"icmp\nip\nnetcfg\ntcp\nudp\n",
    "cat /scheme/netcfg/iface/lo/addr": r"127\.0\.0\.1/8\n",
    "cat /scheme/netcfg/routes": r"DESTINATION .*127\.0\.0\.0/8 ",
    "echo trace >/scheme/netcfg/log/level": r"",
    "cat /scheme/icmp/ping/127.0.0.1,count=2,interval=0.1": r"2 packets transmitted, 2 packets received, 0\.00%",
    "cat /scheme/icmp/ping/localhost,count=5,interval=0.1": r"5 packets transmitted, 5 packets received",
    "cat /scheme/logging/net/smolnetd.log": r"TRACE icmp: echo reply from 127\.0\.0\.1",
}
TAP_COMMANDS = {
    "cat /scheme/icmp/ping/10.0.2.2,count=5,interval=0.1": (
        r"From 10\.0\.2\.2 icmp_seq=4 ttl=64 time=[\d.]+ms\n--- 10\.0\.2\.2 ping statistics ---\n"
        r"5 packets transmitted, 5 packets received, 0\.00% packet loss"
    ),
    "cat /scheme/netcfg/route/list": r"default via 10\.0\.2\.2 dev eth0 src 10\.0\.2\.15\n",
    "cat /scheme/netcfg/ifaces/eth0/neighbors/list": r"10\.0\.2\.2 ([0-9a-f]{2}-){5}[0-9a-f]{2} ",
    "cat /scheme/logging/net/virtio/eth0.log": r"about to write 42 octets[^$]*recycled descriptor",
}


def matches(pattern: str, said: subprocess.CompletedProcess[str]) -> bool:
    return re.search(pattern, said.stdout, re.DOTALL) is not None


def test_commands_of_the_notes(scheme_mount) -> None:
    for command, pattern in COMMANDS.items():  # in this order: the log has the pings after the level is set
        done = shell(command, scheme_mount.path)
        assert matches(pattern, done), (command, done.stdout + done.stderr)


@pytest.mark.needs("root", "tap")
def test_commands_of_the_notes_on_a_tap(tap_network) -> None:
    shell("echo trace >/scheme/netcfg/log/level", tap_network.mount.path)
    for command, pattern in TAP_COMMANDS.items():
        done = shell(command, tap_network.mount.path)
        assert matches(pattern, done), (command, done.stdout + done.stderr)


FETCH = r"exec 3<>/scheme/tcp/10.0.2.2:80; printf 'GET /test HTTP/1.0\r\n\r\n' >&3; cat <&3"


@pytest.mark.needs("root", "tap")
def test_a_page_of_the_notes(tap_network, tmp_path) -> None:
    (tmp_path / "test").write_text("a page\n")
    server = tap_network.start_peer(
        ["python3", "-u", "-m", "http.server", "80", "--directory", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert "Serving" in server.stdout.readline()
    done = shell(FETCH, tap_network.mount.path)
    assert done.stdout.startswith("HTTP/1.0 200 OK"), done.stderr
    assert done.stdout.endswith("\n\na page\n")


@pytest.mark.needs("root", "tap")
def test_the_steps_that_the_notes_had_to_add_by_hand(tap_network) -> None:
    """ARP request, write, ARP reply with its MAC, the queued packet, the caller parked and woken; on one clock."""
    shell("echo trace >/scheme/netcfg/log/level", tap_network.mount.path)
    tap_network.run_peer(["ip", "neigh", "flush", "all"])
    shell("cat /scheme/icmp/ping/10.0.2.2,count=2,interval=0.2", tap_network.mount.path)
    log = shell("cat /scheme/logging/net/schemefs.log", tap_network.mount.path).stdout
    steps = [
        r"ARP request for 10\.0\.2\.2 \(try 1\)",
        r"about to write 42 octets",
        r"wrote 42 octets",
        r"ARP reply from 10\.0\.2\.2 with MAC ([0-9a-f]{2}:){5}",
        r"about to write 98 octets",
        r"wrote 98 octets",
        r"queued datagram for 10\.0\.2\.2 sent",
        r"echo reply from 10\.0\.2\.2",
        r"parked",
        r"fevent to 1 waiters",
        r"woken",
    ]
    position = 0
    for step in steps:
        found = re.compile(step, re.IGNORECASE).search(log, position)
        assert found, f"{step!r} not in:\n{log[position:]}"
        position = found.end()
    times = [float(line[1:].split()[0]) for line in log.splitlines() if re.match(r"\+\d", line)]
    assert times == sorted(times)


def test_the_notes_show_these_commands() -> None:
    """The page's second table has exactly the commands that the tests run."""
    text = NOTES.read_text()
    for command in (*COMMANDS, *TAP_COMMANDS, FETCH):
        assert f"`{command}`" in text.replace("\\|", "|"), command
