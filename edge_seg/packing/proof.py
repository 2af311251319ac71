"""The proof: a bundle as it will be packed, run by its target without the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from edge_seg.bundle.archive import write_bundle
from edge_seg.bundle.manifest import Manifest
from edge_seg.files import scratch_folder

if TYPE_CHECKING:
    from edge_seg.progress import Track
    from edge_seg.target import Target


def prove(
    target: Target, manifest: Manifest, members: Mapping[str, bytes], track: Track
) -> Manifest:
    """Return the manifest with what the target's proof found; the target has one."""
    assert target.prove is not None
    with scratch_folder() as folder:
        bundle = folder / "bundle.edgeseg"
        write_bundle(bundle, manifest, members)
        return msgspec.structs.replace(manifest, proven=target.prove(bundle, track))
