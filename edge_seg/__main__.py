"""``python -m edge_seg`` does what ``edge-seg`` does."""

from edge_seg.cli.main import main

main()
