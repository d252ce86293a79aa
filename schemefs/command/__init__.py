"""The command line: the commands of `schemefs`, and what they do before the daemon exists."""
