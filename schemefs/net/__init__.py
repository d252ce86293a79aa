"""The toolkit that protocols share: addresses, checksums, offloads, ports. No I/O, no clock, nothing but the stdlib."""
