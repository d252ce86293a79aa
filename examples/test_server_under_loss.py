"""A server answers over a line that loses 5 % of the packets, the same ones in every run. Needs no root.

Run with: pytest examples/test_server_under_loss.py
"""

import hashlib

SIZE = 200_000


def test_every_answer_is_complete(lab, tmp_path):
    client, server = lab.hosts("client", "server")
    octets = bytes(range(250)) * (SIZE // 250)
    (tmp_path / "file").write_bytes(octets)
    server.start(["python3", "-m", "http.server", "80", "--directory", str(tmp_path)])
    server.wait_for_port(80)

    lab.link(server).impair("loss 5% seed 7")
    for _ in range(3):
        done = client.run(["curl", "-sS", "http://server/file"], timeout=60, text=False)
        assert done.returncode == 0, done.stderr
        assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(octets).digest()

    assert lab.link(server).report().counted("dropped_lost") > 0
    assert sum(flow.received.retransmitted for flow in lab.report().flows) > 0
