"""The table: what is measured, at which candidates, and the goals."""

from __future__ import annotations

from typing import Final

from tests.bench import bulk, calls, datagrams, idle_costs, parallel
from tests.bench.measurement import KERNEL, OLDER, OURS, SLIRP, Figure, Goal, Measurement, least, most

ALL: Final = (KERNEL, SLIRP, OURS, OLDER)
MOUNTS: Final = (OURS, OLDER)


def bulk_figures(title: str, *goals: Goal) -> tuple[Figure, ...]:
    return Figure("speed", title, "MB/s", goals), Figure("cpu", f"{title}: the daemon's processor time", "s/GiB")


TABLE: Final = (
    Measurement(
        "receive",
        bulk.receive,
        ALL,
        bulk_figures("receive", least(0.45, KERNEL), least(2.0, SLIRP)),
    ),
    Measurement(
        "send",
        bulk.send,
        ALL,
        bulk_figures("send", least(0.45, KERNEL), least(1.8, SLIRP), least(2.0, OLDER)),
    ),
    Measurement(
        "families",
        bulk.both_families,
        (OURS,),
        (
            Figure("receive", "receive by IPv6, to IPv4", "", (least(0.95),)),
            Figure("send", "send by IPv6, to IPv4", "", (least(0.95),)),
        ),
        rounds=3,
        warms_up=False,
    ),
    Measurement(
        "small-writes",
        bulk.send_small_writes,
        ALL,
        bulk_figures("send in writes of 8 KiB", least(2.5, OLDER)),
    ),
    Measurement(
        "trip",
        calls.trips,
        ALL,
        (
            Figure("p50", "an octet there and back: median", "µs", (most(0.75, SLIRP), most(0.36, OLDER))),
            Figure("p99", "an octet there and back: 99th percentile", "µs", (most(1.5, SLIRP),)),
            Figure("cpu", "an octet there and back: the daemon's processor time", "µs", (most(0.35, OLDER),)),
        ),
    ),
    Measurement(
        "trip-receive",
        calls.trips_during_receive,
        ALL,
        (
            Figure("p50", "an octet while a transfer is received: median", "µs", (most(2.0, SLIRP),)),
            Figure("p99", "an octet while a transfer is received: 99th percentile", "µs", (most(1500),)),
        ),
        rounds=4,
        warms_up=False,
    ),
    Measurement(
        "trip-send",
        calls.trips_during_send,
        ALL,
        (
            Figure("p50", "an octet while a transfer is sent: median", "µs", (most(0.3, OLDER),)),
            Figure("p99", "an octet while a transfer is sent: 99th percentile", "µs", (most(1500),)),
        ),
        rounds=4,
        warms_up=False,
    ),
    Measurement(
        "lines",
        calls.lines,
        (KERNEL, OURS, OLDER),
        tuple(
            Figure(f"{way}_{key}", f"a line each 5 ms, {title}: {name}", "ms", (most(bound),))
            for way, title in (("received", "received"), ("sent", "sent"), ("loopback", "over loopback"))
            for key, name, bound in (("p50", "median", 0.15), ("p99", "99th percentile", 2.0))
        ),
        rounds=3,
        warms_up=False,
    ),
    Measurement("connect", calls.connects, ALL, (Figure("rate", "connected and closed", "1/s", (least(0.6, SLIRP),)),)),
    Measurement(
        "udp-flood",
        datagrams.udp_flood,
        (KERNEL, OURS),
        (
            Figure("peak", "UDP, 64 octets, most read at any load", "1/s"),
            Figure("left", "UDP, read at four times that load, to the most", "", (least(0.8),)),
        ),
        rounds=2,
        warms_up=False,
    ),
    Measurement("udp-send", datagrams.udp_sent, ALL, (Figure("rate", "UDP, sent", "1/s", (least(0.25, KERNEL),)),)),
    Measurement("ping", datagrams.pings, ALL, (Figure("rate", "`ping -f`", "1/s", (least(0.75, SLIRP),)),)),
    Measurement(
        "receive-frames",
        bulk.receive_frames,
        ALL,
        bulk_figures("receive without offloads, MTU 1500", least(0.8, SLIRP)),
        setting="frames",
    ),
    Measurement(
        "send-frames",
        bulk.send_frames,
        ALL,
        bulk_figures("send without offloads, MTU 1500", least(1.0, SLIRP)),
        setting="frames",
    ),
    *(
        Measurement(
            f"{way}-16",
            measure,
            ALL,
            (
                Figure("speed", f"{way} 16 transfers at once, the sum", "MB/s"),
                Figure("to_one", f"{way} 16 transfers at once, the sum to one alone", "", (least(0.9),)),
                Figure("jain", f"{way} 16 transfers at once, Jain's index", "", (least(0.99),)),
            ),
            rounds=3,
            warms_up=False,
        )
        for way, measure in (("receive", parallel.receive), ("send", parallel.send))
    ),
    Measurement(
        "memory",
        idle_costs.conversation,
        MOUNTS,
        (Figure("memory", "a conversation whose file is open", "KiB", (most(8.0),)),),
        setting="unused",
        rounds=1,
        warms_up=False,
        is_of_daemon=False,
    ),
    Measurement(
        "mount",
        idle_costs.mount,
        MOUNTS,
        (Figure("seconds", "mount to ready", "s", (most(0.6, OLDER),)),),
        is_of_daemon=False,
    ),
    Measurement(
        "help",
        idle_costs.help_text,
        MOUNTS,
        (
            Figure("ms", "`schemefs --help`", "ms"),
            Figure("to_python", "`schemefs --help`, to `python3 -c pass`", "", (most(4.0),)),
        ),
        warms_up=False,
        is_of_daemon=False,
    ),
)

# Measured only if named, or with `--all`.
ALSO: Final = (
    Measurement(
        "text",
        calls.texts,
        MOUNTS,
        (
            Figure("p50", "a text of netcfg opened, read, closed: median", "µs"),
            Figure("p99", "a text of netcfg opened, read, closed: 99th percentile", "µs"),
            Figure("cpu", "a text of netcfg opened, read, closed: the daemon's processor time", "µs"),
        ),
    ),
    Measurement(
        "passt",
        bulk.passt,
        (OURS,),
        (
            Figure("receive", "receive by passt, to a TAP", "", (least(0.8),)),
            Figure("send", "send by passt, to a TAP", "", (least(0.8),)),
        ),
        setting="passt",
        rounds=3,
        warms_up=False,
    ),
    Measurement("receive-tls", bulk.receive_tls, (KERNEL, OURS, OLDER), bulk_figures("receive by TLS")),
    Measurement("send-tls", bulk.send_tls, (KERNEL, OURS, OLDER), bulk_figures("send by TLS")),
    *(
        Measurement(
            f"{kind}-flood",
            measure,
            MOUNTS,
            (
                Figure("peak", f"{title}, most at any load", "1/s"),
                Figure("left", f"{title}, at four times that load, to the most", "", (least(0.8),)),
            ),
            rounds=2,
            warms_up=False,
        )
        for kind, title, measure in (
            ("raw", "raw datagrams", datagrams.raw_flood),
            ("echo", "echo requests", datagrams.echo_flood),
        )
    ),
)
