"""IPv6 alone: Neighbor Discovery, autoconfiguration, groups and address selection."""
