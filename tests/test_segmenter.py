from edge_seg import Segmenter
from edge_seg.metrics import evaluate
def test_x(tiny_bundle, few_frames, road_frames):
    from edge_seg.frames.check import check
    print(check(road_frames))
    with Segmenter(tiny_bundle, threads=1) as s:
        print(evaluate(s, few_frames).iou)
        print(s.manifest.candidates)
