"""The schemes: one folder each, the same three ideas in it: wire.py (octets), the engine's files, scheme.py (files).

A scheme never imports another; they meet in `schemefs.net.network_layer`.
"""
