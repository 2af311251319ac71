"""Bundles: everything a device needs to run a model, in one checked file.

    from edge_seg.bundle import open_bundle, write_bundle

    bundle = open_bundle("lane.edgeseg")        # every size and digest is checked here
    bundle.manifest.engine.name                 # "openvino"
    model = bundle.read(bundle.manifest.model_file)

`manifest` says what is inside, `container` is the zip layout, `archive` joins the two,
`signature` says who made it, and `golden` is the self-test that travels along.
"""

from __future__ import annotations

from edge_seg.bundle.archive import Bundle, open_bundle, write_bundle
from edge_seg.bundle.errors import BundleError
from edge_seg.bundle.manifest import Candidate, Manifest

__all__ = ["Bundle", "BundleError", "Candidate", "Manifest", "open_bundle", "write_bundle"]
