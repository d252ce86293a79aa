"""The FUSE face: it knows the contract of a scheme, and everything about waiting; it knows no protocol."""
