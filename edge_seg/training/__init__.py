"""Training: from frames with masks to a weights file.

    from edge_seg.frames import FrameSet
    from edge_seg.training.loop import train
    from edge_seg.training.settings import Settings

    train(Settings(model="lane-unet", steps=2000), FrameSet.open("train"),
          FrameSet.open("val"), Path("lane.safetensors"))

`sources` are where frames come from: a frame set, or what renders them meanwhile. `losses` and
`augment` are pure functions; `data` makes the batch of a step; `state` is all that a step changes,
and how it is kept in a checkpoint; `loop` goes over the steps, `team` in several processes;
`precision` makes it quick on CPUs; `validation` measures; `outputs` and `curve` write;
`stop` hears signals. Batch and random numbers follow from (seed, step) alone, so a training that
was killed continues as if it had not been.
"""
