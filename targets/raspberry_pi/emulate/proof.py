"""The proof: a bundle's golden frames, run by the device's own runtime on its own processor.

    proofs = prove(Path("lane.edgeseg"))
    all(proof.passed for proof in proofs)       # the masks are those that were packed

What runs in the guest is what runs on a device: ``edge-seg verify`` of the installed wheel.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edge_seg.bundle.archive import Bundle, open_bundle
from edge_seg.bundle.golden import NETWORK, GoldenResult
from edge_seg.bundle.manifest import Manifest, Proof
from edge_seg.errors import EdgeSegError
from edge_seg.progress import Track, silent
from targets.raspberry_pi.emulate.guest import Guest, Running, damaged, emulator_version
from targets.raspberry_pi.emulate.tree import Tree, make_tree

PROCESSORS = ("cortex-a72", "cortex-a76")
"""Of a Pi 4 and a Pi 5."""
RUNTIMES = {"litert": ("litert", "tflite-runtime"), "qnnpack": ("torch",)}
"""What can execute an engine's file on a device, the usual one first."""


class _Verdict(msgspec.Struct):
    """What is read of ``edge-seg verify --json``."""

    golden: GoldenResult | None = None
    faults: list[str] = []


def prove(
    bundle: Path,
    track: Track = silent,
    processors: Sequence[str] = PROCESSORS,
    runtime: str | None = None,
) -> list[Proof]:
    """Run the golden frames on each processor and return how the masks agree.

    ``runtime`` is one of `RUNTIMES`, by default the usual one of the bundle's engine.
    TorchScript is trusted: it was packed here, or the user asks for this proof of it. Raises
    `EdgeSegError` where there is no emulator, or the bundle does not run at all; masks that
    differ are a `Proof` that has not ``passed``.
    """
    opened = open_bundle(bundle)
    emulator = emulator_version()
    tree = make_tree(_runtime(opened, runtime))
    verify = ["-m", "edge_seg.cli", "verify", os.path.abspath(bundle), "--json", "--trust"]
    with contextlib.ExitStack() as all_at_once:
        running = [
            all_at_once.enter_context(Guest(tree, name).started(verify)) for name in processors
        ]
        golden = [_golden(opened, guest) for guest in track(running, "emulating", len(running))]
    return [
        judge(opened.manifest, tree, processor, emulator, result)
        for processor, result in zip(processors, golden, strict=True)
    ]


def judge(
    manifest: Manifest, tree: Tree, processor: str, emulator: str, golden: GoldenResult
) -> Proof:
    """Judge the frames of the network's size; the others are the device's own resize too.

    Where other kernels round otherwise, the share of equal pixels that the bundle's own self-test
    asks for is enough (`GoldenFrame.agreement`); the same integer kernels must agree to the pixel.
    Between tflite-runtime 2.14 and LiteRT 2.3, 99.60 to 99.96 % were seen.
    """
    network = {name for name in golden.agreement if name.startswith(f"{NETWORK}/")}
    kernels = [golden.agreement[name] for name in network or golden.agreement]
    camera = [share for name, share in golden.agreement.items() if name not in network]
    exact = _exact(manifest, tree) and bool(network)
    return Proof(
        processor=processor,
        emulator=emulator,
        runtime=tree.runtime.distribution,
        runtime_version=tree.version,
        frames=len(kernels),
        identical=sum(share == 100.0 for share in kernels),
        agreement_min=min(kernels),
        camera_agreement_min=min(camera, default=None) if network else None,
        passed=golden.passed and (not exact or min(kernels) == 100.0),
    )


def _exact(manifest: Manifest, tree: Tree) -> bool:
    """Say whether masks must be equal to the pixel: integer kernels of the very same runtime."""
    packed = manifest.engine
    winner = next((c for c in manifest.candidates if c.label == manifest.winner), None)
    same = (packed.runtime, packed.runtime_version) == (tree.runtime.distribution, tree.version)
    floats = winner is not None and winner.float_layers
    return same and manifest.precision == "int8" and not floats


def _runtime(bundle: Bundle, wanted: str | None) -> str:
    engine = bundle.manifest.engine.name
    known = RUNTIMES.get(engine, ())
    if not known:
        raise EdgeSegError(
            f"{bundle.path}: engine '{engine}' cannot be emulated, only {', '.join(RUNTIMES)} can"
        )
    if wanted is not None and wanted not in known:
        raise EdgeSegError(f"'{wanted}' does not run engine '{engine}': {' and '.join(known)} can")
    return wanted or known[0]


def _golden(bundle: Bundle, guest: Running) -> GoldenResult:
    """Return what ``edge-seg verify`` found in the guest."""
    done = guest.result()
    try:
        verdict = msgspec.json.decode(done.stdout, type=_Verdict)
    except msgspec.MsgspecError:
        verdict = _Verdict(faults=(done.stderr.strip() or "it says nothing").splitlines()[-1:])
    if verdict.golden is None:
        raise EdgeSegError(
            f"{bundle.path} does not run on the emulated {guest.processor}: "
            f"{'; '.join(verdict.faults)[:300]} (or {damaged()})"
        )
    return verdict.golden
