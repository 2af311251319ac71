"""``python -m edge_seg``: the command line, as ``edge-seg``."""

from edge_seg.cli.main import main

main()
