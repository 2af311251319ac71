"""Install a CPU build of torch into this interpreter's environment, and never CUDA.

    .venv/bin/python .ci/install_torch.py 2.13.0

On Linux x86_64 the torch wheel of the Python package index is a CUDA build that pulls
gigabytes of nvidia packages. So pip is first asked what it would install, which reads
metadata only: from PyTorch's own CPU wheel index, quick to give up, then from wherever
this machine's pip looks. The first plan without CUDA is carried out.
Does nothing where that torch is already installed.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys

CPU_INDEX = os.environ.get("TORCH_INDEX", "https://download.pytorch.org/whl/cpu")
QUICK = ["--retries=0", "--timeout=5"]
CUDA = ("nvidia-", "cuda-", "triton")
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install"]


def main() -> None:
    """Try both sources in turn; exit 1 with the way out where neither has a CPU build."""
    wanted = f"torch=={sys.argv[1]}"
    if f"torch=={installed()}" == wanted:
        print(f"{wanted} is already there")
        return
    for source, index, patience in (
        (f"PyTorch's CPU wheels, {CPU_INDEX}", [f"--index-url={CPU_INDEX}"], QUICK),
        ("where pip looks on this machine", [], []),
    ):
        print(f"{wanted}: asking {source}", flush=True)
        reason = why_not(wanted, [*index, *patience])
        # Its few dependencies come in the next step, pinned by constraints.txt.
        if not reason and subprocess.run([*PIP, "--no-deps", *index, wanted]).returncode == 0:
            return
        print(f"  not from there: {reason or 'the download failed'}", flush=True)
    sys.exit(
        f"error: found no CPU build of {wanted}. Check the network and run make again, or set "
        f"TORCH_INDEX to a mirror of PyTorch's CPU wheels, or fetch the wheel yourself and run "
        f"{sys.executable} -m pip install --no-deps FILE.whl"
    )


def installed() -> str:
    """Return the installed torch's version without its build suffix, or nothing."""
    try:
        return importlib.metadata.version("torch").partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return ""


def why_not(wanted: str, options: list[str]) -> str:
    """Return why pip with these options gives no CPU build, or nothing where it does."""
    plan = [*PIP, "--quiet", "--dry-run", "--report=-", *options, wanted]
    answer = subprocess.run(plan, capture_output=True, text=True)
    if answer.returncode != 0:
        lines = answer.stderr.strip().splitlines()
        return lines[-1] if lines else f"pip failed with exit code {answer.returncode}"
    wheels = [item["metadata"]["name"] for item in json.loads(answer.stdout)["install"]]
    names = [name.lower().replace("_", "-") for name in wheels]
    cuda = [name for name in names if name.startswith(CUDA)]
    return f"it comes with {len(cuda)} CUDA packages ({cuda[0]}, ...)" if cuda else ""


if __name__ == "__main__":
    main()
