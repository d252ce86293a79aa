"""TLS as a scheme, on top of tcp's conversations (RFC 8446, RFC 5246). Python's ssl does the cryptography.

scheme        addresses and options of a user's path
credentials   certificates, keys and whom to trust: an SSLContext of the options
layer         octets of the stream in and out of OpenSSL, in memory
engine        one conversation: the handshake, what waits in between, the ends
listener      connections whose handshakes are under way, and those that wait to be accepted
status        what `status` shows
"""

from schemes.tls.scheme import TlsScheme

__all__ = ["TlsScheme"]
