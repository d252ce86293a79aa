"""Packet scripts: a peer and a program as lines of a file, against the stack in this process, in virtual time."""
