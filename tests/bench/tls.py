"""How fast TLS is: `cat` of a tls file on a TAP, against openssl's client on the kernel's own path, in the same run.

The peer is the same in both, Python's ssl; the certificate is taken as it is. Part of `./dev bench`; needs what
throughput.py needs.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import trustme
from transfers import SINK_PORT, SOURCE_PORT, linked, measured, mounted, peers, seconds, speed

OCTETS: Final = 1 << 28


def kernel(data: Path, pem: Path) -> dict[str, float]:
    """Measure `openssl s_client` over a veth pair; what it sends ends with its standard input."""
    with linked() as (a, b), peers(b, OCTETS, pem):
        client = "openssl s_client -quiet -connect 10.9.0.2"
        return {
            "receive": speed(OCTETS, lambda: seconds(a, f"{client}:{SOURCE_PORT} </dev/null >/dev/null")),
            "send": speed(OCTETS, lambda: seconds(a, f"{client}:{SINK_PORT} -no_ign_eof <{data} >/dev/null")),
        }


def ours(data: Path, pem: Path, scratch: Path) -> dict[str, float]:
    """Measure the mount."""
    with mounted(scratch) as (where, mount, pid), peers(where, OCTETS, pem):
        receive = f"cat {mount}/tls/10.0.2.2:{SOURCE_PORT},verify=no >/dev/null"
        send = f"cat {data} >{mount}/tls/10.0.2.2:{SINK_PORT},verify=no"
        return {
            "receive": measured("tls receive", pid, OCTETS, lambda: seconds(where, receive)),
            "send": measured("tls send", pid, OCTETS, lambda: seconds(where, send)),
        }


def main() -> None:
    """Measure both and compare."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        scratch = Path(directory)
        data, pem = scratch / "data", scratch / "peer.pem"
        data.write_bytes(bytes(OCTETS))
        trustme.CA().issue_cert("10.0.2.2").private_key_and_cert_chain_pem.write_to_path(str(pem))
        theirs = kernel(data, pem)
        mine = ours(data, pem, scratch)
    for name, found in mine.items():
        print(f"tls {name}: {found:.0f} MB/s, openssl {theirs[name]:.0f} MB/s, ratio {found / theirs[name]:.2f}")


if __name__ == "__main__":
    main()
