"""What users and plugin authors test with: the pytest plugin, and the mounts and networks behind its fixtures."""
