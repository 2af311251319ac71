"""``python -m edge_seg.cli`` does what ``edge-seg`` does."""

from edge_seg.cli.main import main

main()
