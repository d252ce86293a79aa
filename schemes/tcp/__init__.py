"""TCP as a scheme (RFC 9293). A segment's way: demultiplexer, arrival, acknowledgment, then output.

scheme           addresses and options of a user's path
demultiplexer    all connections and listeners, and whose a segment is
connection       one connection's state, and the user's calls on it      (§3.3.1, §3.10.1 to §3.10.6)
arrival          SEGMENT ARRIVES, step by step; acknowledgment: its fifth (§3.10.7)
opening closing  the handshake; FIN, linger, reset                       (§3.5, §3.6)
time_wait        what is kept when the connection has gone               (§3.6.1, RFC 6191)
output           segments out: windows, Nagle, SWS avoidance, headers     (§3.7, §3.8)
timeouts         the four timers                                         (§3.10.8)
spaces           SND and RCV variables; send_buffer, receive_buffer, reassembly: the octets
recovery         what to send again: rack, duplicate_acks                (RFC 8985, RFC 6582)
congestion/      how much may be in flight                                (RFC 5681, RFC 9438)
ecn              marks instead of losses                                 (RFC 3168)
user_timeout     how long octets may stay unacknowledged, told to the peer (RFC 5482)
rtt              round-trip time and RTO                                  (RFC 6298)
wire options     headers                                                  (§3.1, §3.2)
"""

from schemes.tcp.scheme import TcpScheme

__all__ = ["TcpScheme"]
