"""The FUSE mount. It knows the contract of a scheme and everything about waiting, and no protocol."""
