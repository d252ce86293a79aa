"""The fixture `lab` on real namespaces: what a test can do with it, as root and as an ordinary user."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from schemefs.lab import requirements
from schemefs.testing.lab import Lab
from tests.support.families import Address, Family
from tests.support.ordinary_user import as_ordinary_user

pytestmark = pytest.mark.needs("fuse", "tap", "root")

ROOT = Path(__file__).parents[2]
EXAMPLES = ("test_lost_synack.py", "test_server_under_loss.py", "test_outage.py")
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]


@pytest.fixture(scope="module")
def two(module_lab: Lab) -> Lab:
    module_lab.hosts("client", "server", seed=7)
    return module_lab


def test_programs_run_in_the_hosts(two: Lab) -> None:
    client, server = two.host("client"), two.host("server")
    assert (server.address, server.address6) == ("10.9.2.2", "fd09:2::2")
    for address in (server.address, server.address6):
        assert client.run(["ping", "-c", "1", "-q", address]).returncode == 0
    done = client.run(["sh", "-c", "cat; echo $SCHEME; exit 3"], input="x\n")
    assert (done.returncode, done.stdout) == (3, "x\n/scheme\n")
    with pytest.raises(subprocess.TimeoutExpired):
        client.run(["sleep", "20"], timeout=0.3)


def test_a_started_program_serves_and_the_link_says_what_passed(two: Lab, family: Family) -> None:
    client, server = two.host("client"), two.host("server")
    port = 80 + family.version  # the lab is shared
    words = [sys.executable, "-m", "http.server", "-b", family.any, str(port)]
    server.start(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    server.wait_for_port(port)
    two.link(client).impair("loss 0.1%; drop arp 9")
    two.link(server).impair("loss 0.1%")
    seeds = [
        (two.scheme / "netcfg/ifaces" / name / "impair").read_text().splitlines()[0] for name in ("client", "server")
    ]
    assert seeds == ["loss 0.1% seed 7", "loss 0.1% seed 8"]
    two.link(server).impair("none")
    with pytest.raises(LookupError, match=r"^'dropped_lots' is not one of .*dropped_lost"):
        two.link(client).report().counted("dropped_lots")
    with pytest.raises(
        LookupError, match=r"^the rule 'drop udp' is not in force on client-router; there are: drop arp 9$"
    ):
        two.link(client).report().acted("drop udp")
    with pytest.raises(TimeoutError, match=r"no program on server listens on TCP port 80 after 0\.2 s"):
        server.wait_for_port(80, timeout=0.2)
    link = two.link(client)
    link.impair("delay 10ms")
    assert (
        client.run(["curl", f"-{family.version}", "-sS", "-o", "/dev/null", f"http://server:{port}/"]).returncode == 0
    )
    report = link.report()
    assert report.counted("frames", "out") >= 4
    assert report.counted("frames") == report.counted("frames", "in") + report.counted("frames", "out")
    endpoint = Address(family.pick(server.address, server.address6)).at(port)
    [flow] = [one for one in two.report().flows if one.server == endpoint]
    assert flow.state == "closed"
    assert flow.round_trip is not None
    assert flow.round_trip > 0.02
    assert flow.sent.retransmitted == 0
    assert two.failure_text().startswith("lab: ")
    shown = dict(two.router_sections())
    assert "delay 10ms" in shown["netcfg/ifaces/client/impair of the router router"]
    link.impair("none")
    assert link.report().impair.lines == ()


def test_rules_that_do_not_parse_are_refused_before_they_are_written(two: Lab) -> None:
    with pytest.raises(ValueError, match="'los' in 'los 1%' is not one of"):
        two.link("client-router").impair("los 1%")


def test_a_lab_is_started_once_and_before_it_is_used(two: Lab) -> None:
    with pytest.raises(RuntimeError, match="this lab has its hosts already"):
        two.hosts("a")
    with pytest.raises(RuntimeError, match="this lab has no hosts yet"):
        _ = Lab().scheme
    with pytest.raises(LookupError, match=r"^there is no link 'nonesuch'; there are: client-router, server-router$"):
        two.link("nonesuch")
    with pytest.raises(LookupError, match=r"^there is no host 'nonesuch'; there are: client, server$"):
        two.host("nonesuch")


def test_a_file_describes_a_lab_of_several_routers(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "net.toml").write_text(
        "[host.a]\n[host.b]\n[router.r1]\n[router.r2]\n"
        '[[link]]\nbetween = ["a", "r1"]\n'
        '[[link]]\nbetween = ["r1", "r2"]\nimpair = "delay 20ms"\n'
        '[[link]]\nbetween = ["r2", "b"]\n'
    )
    lab.start(tmp_path / "net.toml")
    assert " ttl=62 " in lab.host("a").run(["ping", "-c", "1", "b"]).stdout
    assert lab.link("r1-r2").report().counted("frames", "in") > 0
    assert sorted(lab.schemes) == ["r1", "r2"]
    assert (lab.schemes["r2"] / "netcfg/ifaces/b/impair").read_text() == "none\n"


@pytest.mark.needs("userns", "curl")
def test_the_examples_pass_for_an_ordinary_user_and_a_failed_test_shows_the_report() -> None:
    files = [*(f"examples/{name}" for name in EXAMPLES), "tests/support/failing_lab.py"]
    command = [*as_ordinary_user(), *PYTEST, *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, check=False)
    assert f"1 failed, {len(EXAMPLES)} passed" in done.stdout, done.stdout + done.stderr
    assert "report of the lab" in done.stdout
    assert ", seed 5\na-router: in " in done.stdout


def test_without_devices_a_test_is_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "TUN", "/dev/net/nothing")
    with pytest.raises(pytest.skip.Exception, match="no lab on this machine: there is no /dev/net/nothing"):
        Lab().hosts("a")


def test_without_namespaces_a_test_is_skipped_with_the_reason() -> None:
    """In a user namespace in which no further one may be made, without any right."""
    script = "from schemefs.testing.lab import Lab; Lab().hosts('a')"
    words = ["unshare", "--user", "--map-root-user", "sh", "-c"]
    drop = 'echo 0 >/proc/sys/user/max_user_namespaces; exec setpriv --bounding-set=-all --inh-caps=-all "$0" "$@"'
    command = [*words, drop, sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    reason = (
        "Skipped: no lab on this machine: this system forbids user namespaces: /proc/sys/user/max_user_namespaces is 0"
    )
    assert done.stderr.splitlines()[-1] == reason
