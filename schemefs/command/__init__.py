"""The command line: the commands of `schemefs`, and what they need before the daemon exists."""
