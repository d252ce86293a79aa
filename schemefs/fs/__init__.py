"""The FUSE mount. It depends on the contract of a scheme, contains all waiting, and has no protocol."""
