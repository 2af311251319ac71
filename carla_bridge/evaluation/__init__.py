"""Closed-loop evaluation: a bundle drives routes, late as its device would be, and is scored.

from carla_bridge.evaluation.record import read_results

results = read_results(Path("result"))          # what `edge-seg drive` wrote
for row in results.summary:
    print(row.driver, row.latency, row.completion, row.departures_per_km)
"""
