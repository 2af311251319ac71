"""Leads a guest's process group on the host: when its parent dies, the whole group dies.

    python -I -S supervise.py PARENT_PID COMMAND ARGUMENT...

A guest starts processes of its own, and a parent that is killed cannot end them. This one is
told by the kernel (prctl(2), PR_SET_PDEATHSIG) and kills the group. It ends as COMMAND did:
with its exit code, or by its signal. Standard library only: it must start at once.
"""

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Run the command in this process's group and end as it does."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before the call
        sys.exit(1)
    # qemu would write the memory of a guest that crashes into the working folder.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    code = os.spawnv(os.P_WAIT, command[0], command)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    main()
