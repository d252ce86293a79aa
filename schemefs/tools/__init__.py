"""Programs that use a mounted tree as every program can: by plain opens, reads and writes of its files.

Each is a subcommand of `schemefs`, with a click command called `command`. `schemefs/command/subcommands.py` lists them.
Nothing here may import the daemon, a scheme or a driver.
"""
