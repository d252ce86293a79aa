"""netcfg through a mount: reads and writes of a shell, errors of write, polling for a change."""

import os
import select
import subprocess

import pytest

from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")


def run(command, **options):
    return subprocess.run(["bash", "-c", command], check=False, capture_output=True, text=True, timeout=20, **options)


def route_by_lo(family: Family) -> str:
    """Return the line of a route; one of IPv6 has no source, which RFC 6724 chooses."""
    return f"{family.link}  dev lo{family.pick(f' src {family.lo}', '')}\n"


def test_a_new_address_answers_at_once(scheme_mount, family: Family):
    addresses, host = scheme_mount.path / "netcfg/ifaces/lo/addr", family.absent
    done = run(f"echo {host}/{family.bits} >{addresses}/add && cat {scheme_mount.path}/icmp/ping/{host},count=1")
    assert "1 packets received" in done.stdout


def test_the_only_address_is_replaced_with_its_route(scheme_mount):
    """Of IPv4: ::1 is always there, and needs no route."""
    netcfg = scheme_mount.path / "netcfg"
    done = run(f"echo 127.0.0.5/8 >{netcfg}/ifaces/lo/addr/set; cat {netcfg}/iface/lo/addr {netcfg}/route/list")
    assert done.stdout == "127.0.0.5/8\n127.0.0.0/8  dev lo src 127.0.0.5\n"


def test_a_new_route_is_used_at_once(scheme_mount, family: Family):
    netcfg, there = scheme_mount.path / "netcfg", family.absent
    ping = f"cat {scheme_mount.path}/icmp/ping/{there},count=1,timeout=0.2"
    assert "Network is unreachable" in run(ping).stderr
    assert run(f"echo '{family.link} dev lo' >{netcfg}/route/add").returncode == 0
    assert route_by_lo(family) in (netcfg / "route/list").read_text()
    assert "dev lo" in (netcfg / f"route/get/{there}").read_text()
    assert run(ping).returncode == 0
    assert run(f"echo {family.link} >{netcfg}/route/rm").returncode == 0
    assert "Network is unreachable" in run(ping).stderr


@pytest.mark.parametrize(
    ("line", "node", "words"),
    [
        ("nonsense", "route/add", "Invalid argument"),
        ("ABSENT/BITS via UNROUTED", "route/add", "Network is unreachable"),
        ("127.0.0.0/8 dev lo", "route/add", "File exists"),
        ("ABSENT/BITS", "route/rm", "No such file or directory"),
        ("ABSENT/BITS", "ifaces/lo/addr/rm", "Cannot assign requested address"),
        ("52-54-00-12-34-56", "ifaces/lo/mac", "Operation not supported"),
        ("1", "iface/lo/mtu", "Invalid argument"),
        ("loud", "log/level", "Invalid argument"),
    ],
)
def test_an_error_is_returned_by_the_write_and_has_a_sentence(module_scheme_mount, line, node, words, family: Family):
    netcfg = module_scheme_mount.path / "netcfg"
    done = run(f"echo '{family.fill(line)}' >{netcfg}/{node}")
    assert done.returncode == 1
    assert words in done.stderr
    assert len((netcfg / "err").read_text()) > 10


def test_cat_of_a_directory_fails_at_once(module_scheme_mount):
    for name in ("netcfg/route", "netcfg", "netcfg/ifaces/lo"):
        done = run(f"timeout 2 cat {module_scheme_mount.path}/{name}")
        assert (done.returncode, "Is a directory" in done.stderr) == (1, True)


def test_write_only_nodes_read_as_empty(module_scheme_mount):
    done = run(f"cat {module_scheme_mount.path}/netcfg/route/add {module_scheme_mount.path}/netcfg/ifaces/lo/addr/set")
    assert (done.returncode, done.stdout) == (0, "")


def test_poll_reports_a_change_of_the_text(scheme_mount, family: Family):
    netcfg = scheme_mount.path / "netcfg"
    descriptor = os.open(netcfg / "route/list", os.O_RDONLY)
    try:
        before = os.read(descriptor, 4096)
        poll = select.poll()
        poll.register(descriptor, select.POLLPRI)
        assert poll.poll(0) == []
        (netcfg / "route/add").write_text(f"{family.link} dev lo\n")
        assert poll.poll(5000) == [(descriptor, select.POLLPRI | select.POLLERR)]
        assert os.pread(descriptor, 4096, 0) == before + route_by_lo(family).encode()
        assert poll.poll(0) == []
    finally:
        os.close(descriptor)


def test_the_event_scheme_reports_a_change_of_the_text(scheme_mount, family: Family):
    netcfg = scheme_mount.path / "netcfg"
    script = f"""
        exec 5<>{scheme_mount.path}/event/queue
        printf 'netcfg/route/list read\\nnetcfg/ifaces/lo/mtu read\\n' >&5
        read -r first <&5; read -r second <&5; echo "$first, $second"
        echo '{family.link} dev lo' >{netcfg}/route/add
        read -r third <&5; echo "$third"
    """
    assert run(script).stdout == "netcfg/route/list read, netcfg/ifaces/lo/mtu read\nnetcfg/route/list read\n"


def test_many_writers_at_once_lose_nothing(scheme_mount, family: Family):
    """Each write(2) is atomic: eight processes add 40 routes each and remove half of them."""
    netcfg = scheme_mount.path / "netcfg"
    route = family.pick("10.{}.{}.0/24", "fd0{}:{}::/32")
    writer = f"""
        for n in $(seq 40); do echo "{route.format("$1", "$n")} dev lo" >{netcfg}/route/add; done
        for n in $(seq 20); do echo "{route.format("$1", "$n")}" >{netcfg}/route/rm; done
    """
    writers = [subprocess.Popen(["bash", "-ec", writer, "bash", str(number)]) for number in range(8)]
    assert [process.wait(timeout=60) for process in writers] == [0] * 8
    listed = (netcfg / "route/list").read_text().splitlines()
    added = {line.split()[0] for line in listed} - {"127.0.0.0/8"}
    assert added == {route.format(number, n) for number in range(8) for n in range(21, 41)}


def test_the_log_level_changes_at_run_time(scheme_mount, family: Family):
    netcfg, log = scheme_mount.path / "netcfg", scheme_mount.path / "logging/net/schemefs.log"
    run(f"cat {scheme_mount.path}/icmp/ping/{family.lo},count=1")
    assert "TRACE icmp: echo reply" not in log.read_text()
    (netcfg / "log/level").write_text("icmp trace\n")
    assert "icmp TRACE\n" in (netcfg / "log/level").read_text()
    run(f"cat {scheme_mount.path}/icmp/ping/{family.lo},count=1")
    assert f"TRACE icmp: echo reply from {family.lo}" in log.read_text()
    assert "TRACE loopback" not in log.read_text()


@pytest.mark.needs("root")
def test_other_users_read_but_do_not_write(scheme_mount, family: Family):
    # Other users can't traverse the mount point's parent, but they can use the mount: so the shell starts inside.
    route = scheme_mount.path / "netcfg/route"
    done = run(f"cat list; echo '{family.link} dev lo' >add", user=65534, cwd=route)
    assert "127.0.0.0/8" in done.stdout
    assert "Permission denied" in done.stderr
    assert family.link not in (route / "list").read_text()
