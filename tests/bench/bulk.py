"""One transfer, by `cat` and its like: MB/s, and the daemon's processor seconds for a GiB."""

from __future__ import annotations

from statistics import median
from typing import Final

import trustme

from tests.bench.candidate import Candidate
from tests.bench.sizes import Sizes

Figures = dict[str, float]
ADDRESS6: Final = "[fd00:10:0:2::2]"  # of the server beside its 10.0.2.2
IN_TURNS: Final = (0, 1, 1, 0)  # what else the machine does meets both of a pair alike


def receive(candidate: Candidate, sizes: Sizes) -> Figures:
    return transfer(candidate, receiving(candidate, sizes.octets), sizes.octets)


def send(candidate: Candidate, sizes: Sizes) -> Figures:
    return transfer(candidate, sending(candidate, sizes.octets), sizes.octets)


def receive_frames(candidate: Candidate, sizes: Sizes) -> Figures:
    return transfer(candidate, receiving(candidate, sizes.framed), sizes.framed)


def send_frames(candidate: Candidate, sizes: Sizes) -> Figures:
    return transfer(candidate, sending(candidate, sizes.framed), sizes.framed)


def send_small_writes(candidate: Candidate, sizes: Sizes) -> Figures:
    octets = sizes.small_writes
    to = candidate.redirection(candidate.serve("sink"))
    return transfer(candidate, f"dd if={candidate.zeros(octets)} bs=8k status=none >{to}", octets)


def both_families(candidate: Candidate, sizes: Sizes) -> Figures:
    """Return the speed by IPv6 as a ratio to that by IPv4."""
    return {
        name: ratio([(candidate, way(candidate, sizes.compared, host=host)) for host in (ADDRESS6, "")])
        for name, way in (("receive", receiving), ("send", sending))
    }


def passt(candidate: Candidate, sizes: Sizes) -> Figures:
    """Return the speed by passt as a ratio to that by a TAP."""
    other = candidate.sibling("tap")
    return {
        name: ratio([(each, way(each, sizes.compared)) for each in (candidate, other)])
        for name, way in (("receive", receiving), ("send", sending))
    }


def ratio(pair: list[tuple[Candidate, str]]) -> float:
    """Return how many times as fast the first script is as the second."""
    taken: tuple[list[float], list[float]] = ([], [])
    for which in IN_TURNS:
        candidate, script = pair[which]
        taken[which].append(candidate.seconds(script))
    return median(taken[1]) / median(taken[0])


def receive_tls(candidate: Candidate, sizes: Sizes) -> Figures:
    port = candidate.serve("source", sizes.secret, certificate(candidate))
    script = f"openssl s_client -quiet -connect {candidate.host}:{port} </dev/null"
    if candidate.mount:
        script = f"cat {candidate.place('tls', port, 'verify=no')}"
    return transfer(candidate, f"{script} >/dev/null", sizes.secret)


def send_tls(candidate: Candidate, sizes: Sizes) -> Figures:
    """Send; openssl ends with its standard input."""
    port = candidate.serve("sink", certificate(candidate))
    script = f"openssl s_client -quiet -no_ign_eof -connect {candidate.host}:{port} >/dev/null"
    if candidate.mount:
        script = f"cat >{candidate.place('tls', port, 'verify=no')}"
    return transfer(candidate, f"{script} <{candidate.zeros(sizes.secret)}", sizes.secret)


def certificate(candidate: Candidate) -> str:
    """Return a file with a certificate and its key."""
    file = candidate.scratch / "pem"
    if not file.exists():
        trustme.CA().issue_cert("10.0.2.2").private_key_and_cert_chain_pem.write_to_path(str(file))
    return str(file)


def receiving(candidate: Candidate, octets: int, *, host: str = "") -> str:
    return f"cat <{candidate.redirection(candidate.serve('source', octets), host=host)} >/dev/null"


def sending(candidate: Candidate, octets: int, *, host: str = "") -> str:
    return f"cat {candidate.zeros(octets)} >{candidate.redirection(candidate.serve('sink'), host=host)}"


def transfer(candidate: Candidate, script: str, octets: int) -> Figures:
    figures: Figures = {}
    with candidate.daemon_used(figures, octets / (1 << 30)):
        figures["speed"] = octets / 1e6 / candidate.seconds(script)
    return figures
