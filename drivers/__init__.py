"""Drivers: where frames go. One folder each; a plugin like any third party's (entry point group `schemefs.drivers`)."""
