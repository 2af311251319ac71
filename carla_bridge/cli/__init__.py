"""Commands of the bridge; `edge-seg` finds them by the entry points `edge_seg.commands`."""
