"""``python -m targets.raspberry_pi.emulate BUNDLE``: prove a bundle, print the result as JSON."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edge_seg.cli import console
from edge_seg.errors import EdgeSegError, GateMissedError
from targets.raspberry_pi.emulate.proof import PROCESSORS, RUNTIMES, prove


def main() -> int:
    """Print the proofs; return 0 where all passed, 3 where masks differ, 2 where it cannot run."""
    runtimes = sorted({name for names in RUNTIMES.values() for name in names})
    parser = argparse.ArgumentParser(prog="python -m targets.raspberry_pi.emulate")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--runtime", choices=runtimes, help="default: the engine's own")
    parser.add_argument("--processor", action="append", help=f"default: {', '.join(PROCESSORS)}")
    chosen = parser.parse_args()
    try:
        processors = chosen.processor or PROCESSORS
        proofs = prove(chosen.bundle, console.track, processors, chosen.runtime)
    except KeyboardInterrupt:
        return 130
    except EdgeSegError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    console.print_json(proofs)
    return 0 if all(proof.passed for proof in proofs) else GateMissedError.exit_code


if __name__ == "__main__":
    sys.exit(main())
