"""What a bundle remembers of a drive: an entry of its manifest for each latency.

attach_driven(path, digest, driven_of(results))
"""

from __future__ import annotations

from carla_bridge.evaluation.record import Results
from edge_seg.bundle.manifest import Driven


def driven_of(results: Results) -> list[Driven]:
    """Return how the first driver of a result drove, at each latency."""
    request = results.request
    return [
        Driven(
            latency=row.latency,
            estimate=row.estimate,
            simulator=request.server,
            maps=request.maps,
            weather=request.weather,
            speed_kmh=request.speed_kmh,
            seed=request.seed,
            traffic=request.traffic,
            route_m=request.route_m,
            runs=row.runs,
            km=row.km,
            completion=row.completion,
            driving_score=row.driving_score,
            score_form=results.score_form,
            departures_per_km=row.departures_per_km,
            lane_invasions_per_km=row.lane_invasions_per_km,
            collisions=row.collisions,
            cross_track_mean_m=row.cross_track_mean_m,
            cross_track_p95_m=row.cross_track_p95_m,
            control_age_p50_ms=row.control_age_p50_ms,
            control_age_p99_ms=row.control_age_p99_ms,
            mask_iou=row.mask_iou,
            tools=results.tools,
        )
        for row in results.summary
        if row.driver == request.driver
    ]
