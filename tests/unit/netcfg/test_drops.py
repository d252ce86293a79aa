"""`stats/drops`: the drop counters of all schemes and links."""

from schemefs.net.impairment import Impairment
from schemefs.scheme import Caller, Scheme, StaticDirectory, TextFile
from tests.support.memory_layer import Netcfg


class Dropping(Scheme):
    name = "dropping"

    def __init__(self, context, text="", samples=None):
        super().__init__(context)
        self.samples = samples or {}
        self.root = StaticDirectory({"stats": TextFile(lambda: text)} if text else {})

    def drop_samples(self):
        return self.samples


def netcfg_with(text="", samples=None):
    netcfg = Netcfg()
    netcfg.context.tree.schemes["dropping"] = Dropping(netcfg.context, text, samples)
    netcfg.context.tree.schemes["netcfg"] = netcfg.scheme
    return netcfg


def test_each_reason_of_each_scheme_and_each_link_is_a_line():
    netcfg = netcfg_with(
        "in_all=5\ndropped_bad_checksum=3\ndropped_martian=0\ndropped_late=1\n", {"late": "10.0.2.2 > 10.0.2.15"}
    )
    netcfg.layer.interfaces["eth0"].samples = {"bad_checksum": "the last one"}
    assert netcfg.cat("stats/drops").splitlines() == [
        "dropping bad_checksum=3",
        "dropping late=1 10.0.2.2 > 10.0.2.15",
        "lo bad_checksum=1",
        "eth0 bad_checksum=1 the last one",
    ]


def test_octets_of_a_sample_are_for_those_who_may_configure():
    """They may be of a payload of another user."""
    words = "10.0.2.2 > 10.0.2.15 udp 9 > 9, 48 octets"
    netcfg = netcfg_with("dropped_late=1\n", {"late": f"{words}: 45000030abcdef"})
    shown = [
        netcfg.scheme.lookup("stats/drops", caller).read(caller, 0.0).decode() for caller in (Caller(0), Caller(7))
    ]
    assert [text.splitlines()[0] for text in shown] == [
        f"dropping late=1 {words}: 45000030abcdef",
        f"dropping late=1 {words}",
    ]


def test_impairments_count_both_directions_together():
    netcfg = netcfg_with()
    eth0 = netcfg.layer.interfaces["eth0"]
    eth0.impairments = (Impairment(loss=0.5),)
    eth0.impairment_effects = lambda: ["# in: frames=9 dropped_lost=3 held=0", "# out: dropped_lost=4"]
    assert "eth0 impaired_lost=7" in netcfg.cat("stats/drops").splitlines()
