"""A network of ordinary programs: hosts are namespaces, routers are daemons of this package, links have impairments."""
