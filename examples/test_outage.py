"""The line is dead for two seconds in the middle of a transfer. curl must neither fail nor lose an octet.

Run with: pytest examples/test_outage.py    (no root is needed)
"""

import time


def test_a_transfer_survives_an_outage_of_two_seconds(lab, tmp_path):
    client, server = lab.hosts("client", "server")
    octets = bytes(1_000_000)
    (tmp_path / "file").write_bytes(octets)
    server.start(["python3", "-m", "http.server", "80", "--directory", str(tmp_path)])
    server.wait_for_port(80)

    lab.link(client).impair("rate 20mbit; drop all from 200ms for 2s")  # the file takes 0.4 s at this rate
    began = time.monotonic()
    done = client.run(["curl", "-sS", "--max-time", "20", "http://server/file"], timeout=30, text=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout == octets
    assert time.monotonic() - began > 2
    assert lab.link(client).report().acted("drop all from 200ms for 2s") > 0
