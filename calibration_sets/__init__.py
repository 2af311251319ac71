"""The frame sets that ship with edge-seg, rendered by the project itself.

    from edge_seg.frames import FrameSet

    calibration = FrameSet.open("lane-mini")
    test = FrameSet.open("lane-test")

Each folder beside this file is one frame set; the README says how they were made.
"""
