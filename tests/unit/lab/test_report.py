"""The closing report: from the files of the routers to lines and JSON."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from schemefs.lab.lab_file import parse_lab_file
from schemefs.lab.report import collect, observe
from schemefs.lab.report_text import MOST_FLOWS, octets_text, report_text
from schemefs.lab.settling import settle
from schemefs.lab.topology import Topology

CHAIN = """
[lab]
seed = 7
[host.client]
[host.server]
[router.r1]
[router.r2]
[[link]]
between = ["client", "r1"]
impair = "loss 1% delay 20ms"
[[link]]
between = ["r1", "r2"]
[[link]]
between = ["r2", "server"]
"""
FLOW = (
    "client=10.9.1.2:{port} server=10.9.3.2:80 state={state} seconds={seconds} round_trip=0.041800 "
    "sent_segments={sent} sent_octets=300 sent_retransmitted={again} sent_out_of_order=0 "
    "received_segments={received} received_octets=95000 received_retransmitted=0 received_out_of_order={late}\n"
)


def flow(**values: object) -> str:
    usual = {"port": 41234, "state": "closed", "seconds": "1.234", "sent": 12, "again": 1, "received": 70, "late": 0}
    return FLOW.format(**{**usual, **values})


class Routers:
    """The files of r1 and r2, as their trees show them."""

    def __init__(self, directory: Path) -> None:
        self.trees = {name: directory / name for name in ("r1", "r2")}
        self.topology = Topology.from_description(parse_lab_file(CHAIN))
        for name, peers in (("r1", ("client", "r2")), ("r2", ("r1", "server"))):
            for peer in peers:
                self.write(name, f"netcfg/ifaces/{peer}/impair", "none\n")
                self.write(name, f"netcfg/ifaces/{peer}/stats", frames(58, 4321, 61, 97300))
            self.write(name, "netcfg/stats/drops", "")
            self.write(name, "netcfg/stats/flows", "")

    def write(self, router: str, path: str, text: str) -> None:
        file = self.trees[router] / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def text(self) -> str:
        return report_text(collect(self.topology, self.trees, 2.314))


def frames(received: int, received_octets: int, sent: int, sent_octets: int) -> str:
    return (
        f"received_frames={received}\nreceived_octets={received_octets}\nsent_frames={sent}\n"
        f"sent_octets={sent_octets}\nfeatures=csum host_tso4\n"
    )


@pytest.fixture
def routers(tmp_path: Path) -> Routers:
    return Routers(tmp_path)


def test_each_link_says_what_passed_and_what_its_rules_did(routers):
    routers.write(
        "r1", "netcfg/ifaces/client/impair",
        "loss 1% delay 20ms seed 7\n"
        "drop tcp syn 1\n"
        "in drop udp\n"
        "# in: frames=58 dropped_lost=1 dropped_by_rule=1 dropped_queue_full=0 duplicated=2 octets=4321 held=3\n"
        "# out: frames=61 dropped_lost=0 dropped_by_rule=0 dropped_queue_full=0 duplicated=0 octets=97 held=0\n"
        "# rule drop tcp syn 1: in=1 out=0 seen=3\n"
        "# rule in drop udp: in=0 out=0 seen=0 never matched\n",
    )  # fmt: skip
    assert routers.text() == (
        "lab: 2.31 s, seed 7\n"
        "client-r1: in 58 frames, 4.3 kB; out 61 frames, 97 kB\n"
        "  loss 1% delay 20ms seed 7: in 58 frames, 1 lost, 2 duplicated; out 61 frames, none dropped or changed\n"
        "  drop tcp syn 1: 1 of 3 frames\n"
        "  in drop udp: never matched\n"
        "r1-r2: in 58 frames, 4.3 kB; out 61 frames, 97 kB\n"
        "r2-server: in 58 frames, 4.3 kB; out 61 frames, 97 kB\n"
    )


def test_a_test_asks_for_the_counts_of_a_link(routers):
    routers.write(
        "r1", "netcfg/ifaces/client/impair",
        "loss 1% seed 7\nhold tcp synack 1 500ms\n# in: frames=5 dropped_lost=1 held=0\n"
        "# out: frames=7 dropped_lost=2 held=0\n"
        "# rule hold tcp synack 1 500ms: in=1 out=2 seen=3\n",
    )  # fmt: skip
    link = collect(routers.topology, routers.trees, 1.0).links[0]
    assert [link.counted("dropped_lost", *ways) for ways in ((), ("in",), ("out",))] == [3, 1, 2]
    assert link.counted("corrupted") == 0
    assert link.acted("hold tcp synack 1 0.5s") == 3
    with pytest.raises(LookupError, match="is not in force"):
        link.acted("drop tcp syn 1")


def test_one_direction_says_nothing_of_the_other(routers):
    routers.write(
        "r1", "netcfg/ifaces/client/impair",
        "loss 1% direction out seed 7\n# out: frames=9 dropped_lost=1 dropped_queue_full=4 held=0\n",
    )  # fmt: skip
    assert "  loss 1% direction out seed 7: out 9 frames, 1 lost, 4 queue full\n" in routers.text()


def test_drops_are_of_a_link_or_of_a_router(routers):
    routers.write(
        "r1", "netcfg/stats/drops",
        "ip no_route=3 10.9.1.2 > 10.99.0.1 udp 9 > 9, 48 octets: 4500\n"
        "client impaired_lost=7 sample, 98 octets\n"
        "r2 link_down=2\n"
        "ip unneeded_arp=4\n"
        "ip group_not_joined=1\n",
    )  # fmt: skip
    routers.write("r2", "netcfg/stats/drops", "r1 link_down=1\n")
    text = routers.text()
    assert "r1-r2: in 58 frames, 4.3 kB; out 61 frames, 97 kB\n  dropped link_down 3\n" in text
    assert "\nr1: dropped ip no_route 3\n" in text
    assert "impaired_" not in text
    assert collect(routers.topology, routers.trees, 1.0).drops["r1"]["ip unneeded_arp"] == 4
    assert "r2: dropped" not in text


def test_a_connection_is_one_although_two_routers_see_it(routers):
    """What was lost between the two passes r1 again; r2 sees a gap, and no retransmission of what it saw before."""
    routers.write("r1", "netcfg/stats/flows", flow(seconds="1.234", sent=14, again=3, received=66))
    routers.write("r2", "netcfg/stats/flows", flow(seconds="1.2", sent=11, again=0, received=70, late=2))
    assert routers.text().splitlines()[-2:] == [
        "tcp client:41234 > server:80: closed after 1.23 s, round trip 41.8 ms",
        "  sent 14 segments, 300 B, 3 retransmitted; received 70 segments, 95 kB, 2 out of order",
    ]
    table = json.loads(json.dumps(collect(routers.topology, routers.trees, 2.3).as_json()))
    assert [one["at"] for one in (table["flows"][0]["sent"], table["flows"][0]["received"])] == ["r1", "r2"]
    assert table["links"][0]["frames"] == {"in": 58, "out": 61}
    assert table["names"]["10.9.1.2"] == "client"
    assert table["seed"] == 7


def test_the_same_ports_again_are_another_connection(routers):
    routers.write("r1", "netcfg/stats/flows", flow(state="reset") + flow(state="closed"))
    routers.write("r2", "netcfg/stats/flows", flow(state="closed", seconds="0.1"))
    assert [line for line in routers.text().splitlines() if line.startswith("tcp")] == [
        "tcp client:41234 > server:80: reset after 1.23 s, round trip 41.8 ms",
        "tcp client:41234 > server:80: closed after 1.23 s, round trip 41.8 ms",
    ]


def test_of_many_connections_those_with_most_retransmissions_are_shown(routers):
    routers.write("r1", "netcfg/stats/flows", "".join(flow(port=port, again=port) for port in range(1, 101)))
    lines = routers.text().splitlines()
    assert len([line for line in lines if line.startswith("tcp")]) == MOST_FLOWS
    assert "tcp client:100 > server:80: closed after 1.23 s, round trip 41.8 ms" in lines
    assert lines[-1] == "80 more TCP connections; --report-json has all"


def test_without_a_handshake_there_is_no_round_trip(routers):
    line = flow(state="open").replace("round_trip=0.041800 ", "")
    routers.write("r1", "netcfg/stats/flows", line)
    assert "tcp client:41234 > server:80: open after 1.23 s\n" in routers.text()


def test_what_was_dropped_before_the_start_is_left_out(routers):
    routers.write("r1", "netcfg/stats/drops", "client link_down=2\nip no_route=1\n")
    before = observe(routers.trees)
    routers.write("r1", "netcfg/stats/drops", "client link_down=2\nip no_route=3\nr2 ring_full=1\n")
    report = collect(routers.topology, routers.trees, 1.0, before)
    assert [dict(link.drops) for link in report.links] == [{}, {"ring_full": 1}, {}]
    assert report.drops == {"r1": {"ip no_route": 2}, "r2": {}}


def test_observe_writes_to_each_router(routers):
    observe(routers.trees)
    assert [(tree / "netcfg/stats/flows").read_text() for tree in routers.trees.values()] == ["on\n", "on\n"]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (9949, "9.9 kB"), (9950, "10 kB"), (999_499, "999 kB"),
     (999_500, "1.0 MB"), (10**9, "1.0 GB"), (123 * 10**15, "123000 TB")],
)  # fmt: skip
def test_octets_are_short(count, text):
    assert octets_text(count) == text


@pytest.mark.parametrize(("held", "waits"), [(0, False), (3, True)])
def test_frames_that_a_link_delays_are_waited_for(routers, held, waits):
    routers.write("r2", "netcfg/ifaces/server/impair", "none\n")
    routers.write(
        "r1", "netcfg/ifaces/client/impair", f"delay 20ms seed 1\n# in: frames=9\n# out: frames=9 held={held}\n"
    )
    longest = 0.3 if waits else 60.0
    began = time.monotonic()
    settle(routers.topology, routers.trees, longest)
    took = time.monotonic() - began
    assert took >= longest if waits else took < longest
