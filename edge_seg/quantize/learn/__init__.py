"""The graph in PyTorch: what changes weights and ranges by what they do to the outputs.

    program = Program(graph)
    logits = program(frames)                     # as the graph is written, with gradients
    graph, recipe = fine_tune(graph, recipe, frames, Settings())

Everything here works on the folded float graph and its Q/DQ form, so that what is learnt is
learnt on the grid that the engines get, for models that came as ONNX too.
"""
