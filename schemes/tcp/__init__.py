"""TCP as a scheme (RFC 9293). Read from the top: what acts on a control block is above it.

scheme           addresses and options of a user's path
tcp              all connections and listeners, and which one a segment is for
listener         handshakes and the connections that wait for accept
connection       the user's calls on a control block, and its timers      (§3.10.1 to §3.10.6)
settings status  what a user may change and see
arrival          SEGMENT ARRIVES, step by step; acknowledgment: its fifth (§3.10.7)
reply            what an arriving segment is answered with
opening closing  the handshake; FIN, linger, reset                        (§3.5, §3.6)
timeouts         the four timers                                          (§3.10.8)
icmp_errors      errors about segments in flight                          (RFC 1122, RFC 5927, RFC 1191)
time_wait        what is kept when the connection has gone                (§3.6.1, RFC 6191)
ack_on_read      when a read sends the delayed ACK                        (§3.8.6.3)
output           what to send: windows, Nagle, SWS avoidance               (§3.7, §3.8)
segments resets  how a segment leaves; RST for segments without connection (§3.5.2)
stall_reason     why queued text does not leave, for `events`
ecn              marks instead of losses                                  (RFC 3168)
user_timeout     how long octets may stay unacknowledged, sent to the peer (RFC 5482)
control_block    the state of one connection                              (§3.3.1)
autotuning       the size of the receive buffer
sequence_spaces  SND and RCV variables; send_buffer, receive_buffer, reassembly: the octets
recovery         what to send again: rack, duplicate_acks                 (RFC 8985, RFC 6582)
congestion/      how much may be in flight                                (RFC 5681, RFC 9438, RFC 9406)
path_probing     the path MTU where no error reports it; path_mtu_search: its state (RFC 8899)
rtt              round-trip time and RTO                                  (RFC 6298)
wire options     headers                                                  (§3.1, §3.2)
"""

from schemes.tcp.scheme import TcpScheme

__all__ = ["TcpScheme"]
