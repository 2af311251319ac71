"""Is this bundle whole, from whom, and does it do here what it did where it was packed?

    report = verify_bundle(bundle, key="pub.pem", predict=segmenter)
    report.ok, report.signature.state       # True, "valid"

`open_bundle` has checked sizes and digests before; what is left is the signature and the
golden frames. `report.faults` has one line for each thing that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from edge_seg.bundle.archive import Bundle
from edge_seg.bundle.errors import BundleError
from edge_seg.bundle.golden import GoldenResult, golden_check
from edge_seg.bundle.signature import is_trusted, load_public_key, verify
from edge_seg.preprocess import Frame, Mask


class SignatureState(msgspec.Struct, frozen=True):
    """``valid``: fits the key given; ``trusted``: fits one of this user's trusted keys;
    ``unchecked``: there is one, and no key to check it with; ``none``; ``invalid``.
    """

    state: Literal["valid", "trusted", "unchecked", "none", "invalid"]
    fingerprint: str | None = None


class Verification(msgspec.Struct, frozen=True):
    """What was found; ``golden`` is ``None`` where the golden frames were not run."""

    bundle: str
    digest: str
    files: int
    size_bytes: int
    signature: SignatureState
    golden: GoldenResult | None
    ok: bool
    faults: list[str]


def verify_bundle(
    bundle: Bundle,
    key: Path | str | None = None,
    predict: Callable[[Frame], Mask] | None = None,
    precision: str | None = None,
) -> Verification:
    """Check the signature, and the golden frames where ``predict``, of ``precision``, is given.

    With ``key`` (a public key in PEM form) an unsigned bundle is a fault; without, a
    signature is checked against the trusted keys. Golden frames are not run where the
    signature is faulty. Raises `BundleError` for a key that
    cannot be read and for golden frames that cannot be used.
    """
    faults: list[str] = []
    signature = _signature_state(bundle, key, faults)
    golden = None if predict is None or faults else golden_check(bundle, predict, precision)
    if golden is not None and not golden.passed:
        faults.append(
            f"{bundle.path}: only {golden.agreement_min:.2f} % of a golden frame's pixels agree "
            "with the masks it was packed with: do not use it on this machine"
        )
    return Verification(
        bundle=str(bundle.path),
        digest=bundle.digest,
        files=len(bundle.manifest.members),
        size_bytes=bundle.size_bytes,
        signature=signature,
        golden=golden,
        ok=not faults,
        faults=faults,
    )


def _signature_state(bundle: Bundle, key: Path | str | None, faults: list[str]) -> SignatureState:
    """Return the signature's state; what is wrong with it is added to ``faults``."""
    fingerprint = bundle.signature.fingerprint if bundle.signature else None
    public_key = None if key is None else load_public_key(key)
    try:
        if public_key is not None:
            verify(bundle.manifest_bytes, bundle.signature, public_key)
            return SignatureState("valid", fingerprint)
        if fingerprint is None:
            return SignatureState("none")
        trusted = is_trusted(bundle.manifest_bytes, bundle.signature)
        return SignatureState("trusted" if trusted else "unchecked", fingerprint)
    except BundleError as error:
        faults.append(f"{bundle.path}: {error}")
        return SignatureState("invalid" if fingerprint else "none", fingerprint)
