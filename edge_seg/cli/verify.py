"""``edge-seg verify BUNDLE``: digests, signature, and the golden frames on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from edge_seg.cli.options import Trust


def command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The .edgeseg file.")],
    key: Annotated[
        Path | None, typer.Option(help="Maker's public key (PEM); unsigned is then a fault.")
    ] = None,
    skip_golden: Annotated[
        bool, typer.Option("--skip-golden", help="Do not run the golden frames (no runtime here).")
    ] = False,
    trust: Trust = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Check that a bundle is whole, who made it, and that it gives its golden masks here."""
    from edge_seg.bundle.archive import open_bundle
    from edge_seg.bundle.errors import BundleError
    from edge_seg.bundle.verification import verify_bundle
    from edge_seg.cli import console
    from edge_seg.errors import EdgeSegError

    result = None
    try:
        opened = open_bundle(bundle)
        result = verify_bundle(opened, key)
        if result.ok and not skip_golden:  # no runtime sees a file of a wrong maker
            from edge_seg.segmenter import Segmenter

            with Segmenter(opened, trust=trust) as segmenter:
                result = verify_bundle(opened, key, segmenter, segmenter.precision)
    except EdgeSegError as error:
        known: object = {"bundle": str(bundle), "ok": False, "faults": [str(error)]}
        if result is not None:  # the golden frames could not be run
            known = msgspec.structs.replace(result, ok=False, faults=[str(error)])
            error = EdgeSegError(f"{error}; --skip-golden checks all but the golden frames")
        if json:  # a script that verifies wants the verdict most when it is bad
            console.print_json(known)
        raise error from None

    if json:
        console.print_json(result)
    else:
        print(f"digests    {result.files} files, {result.size_bytes} bytes, as packed")
        print(f"signature  {result.signature.state} {result.signature.fingerprint or ''}".rstrip())
        if result.golden is not None:
            print(
                f"golden     {result.golden.identical} of {result.golden.frames} masks identical, "
                f"worst {result.golden.agreement_min:.2f} % of pixels equal"
            )
    if not result.ok:
        raise BundleError("; ".join(result.faults))
