"""Random roads, written as OpenDRIVE text: they take the same way in as any other map.

`kinds` are the cross-sections, `alignment` and `junctions` the shapes, `write` the text, and
`road` draws one of it all.
"""
