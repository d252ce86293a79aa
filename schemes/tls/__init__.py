"""The tls scheme, on top of tcp's conversations (RFC 8446, RFC 5246). Python's ssl module does the cryptography.

scheme        addresses and options of a path
credentials   certificates, keys and trust: from the options to an SSLContext
record_layer  the stream's octets in and out of OpenSSL, in memory
engine        one conversation: the handshake, the buffers, the ends
listener      connections in their handshake, and connections to accept
status        the text of `status`
"""

from schemes.tls.scheme import TlsScheme

__all__ = ["TlsScheme"]
