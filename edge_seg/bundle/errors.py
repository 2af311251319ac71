"""The error of this package: a bundle that cannot be used, and what to do about it."""

from __future__ import annotations

from edge_seg.errors import EdgeSegError


class BundleError(EdgeSegError):
    """The file is no bundle, is damaged, was changed, or is not for this machine."""
