"""Measurements behind the README's numbers: commands, not tests, as they need a quiet machine.

    python -m benchmarks pipelines     # each bundle and its tournament against the usual pipelines
    python -m benchmarks photographs FOLDER   # accuracy on labelled photographs, per source
    python -m benchmarks footprint     # import time, memory of a run, time of a pack
    python -m benchmarks pictures      # the README's picture
    python -m benchmarks readme        # the README's tables, from the JSON files

The first three write a JSON file into ``benchmarks/results`` that names the machine.
"""
