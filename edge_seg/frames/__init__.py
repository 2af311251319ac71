"""Frame sets: folders of frames with optional masks, a class map, a licence and a digest.

    from edge_seg.frames import FrameSet, FrameSetWriter

    with FrameSetWriter("street", name="street", licence="CC0-1.0", source="my camera") as writer:
        writer.add(frame, mask)          # (H, W, 3) uint8 BGR, (H, W) uint8 class ids
    for labelled in FrameSet.open("street"):
        labelled.image, labelled.mask

A frame set is what ranges are calibrated on and what accuracy is measured on, so it is
identified by a digest over every byte in it, and reading a file that changed is an error.
"""

from edge_seg.frames.frameset import FrameSet, LabelledFrame
from edge_seg.frames.writer import FrameSetWriter

__all__ = ["FrameSet", "FrameSetWriter", "LabelledFrame"]
