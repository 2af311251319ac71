"""What this package adds to ``edge-seg``, a file a command."""
