"""A client must try again when the first SYN-ACK is lost. curl stands for your client. Needs no root.

Run with: pytest examples/test_lost_synack.py
"""


def test_the_client_tries_again(lab):
    client, server = lab.hosts("client", "server")
    server.start(["python3", "-m", "http.server", "80"])
    server.wait_for_port(80)

    lab.link(client).impair("drop tcp synack 1 flow 1")  # the first of the first connection
    done = client.run(
        ["curl", "-4sS", "--connect-timeout", "0.5", "--retry", "1", "--retry-delay", "1", "http://server/"], timeout=20
    )

    assert done.returncode == 0, done.stderr
    assert lab.link(client).report().acted("drop tcp synack 1 flow 1") == 1
    assert len(lab.report().flows) == 2  # the lost one, and the one that brought the answer
