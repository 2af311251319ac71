"""What TensorRT says while it works, made short enough for a user.

    last_error(logger.messages)      # "Non-zero zero point is not supported"

NVIDIA's messages are made for those who have its source: the call, the assertion, the line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

_GENERIC = re.compile(r"engine(Ptr)? != nullptr|catchCudaError")
"""Said after, or beside, the message that holds the reason."""
_FRAMES = (
    re.compile(r"^.*?Error Code:? \d+: [^(\[]*\((?P<rest>.*)\)\s*$", re.DOTALL),
    re.compile(r"^Assertion failed: \S[^:]*(?:::[^:]+)*: (?P<rest>.+)$", re.DOTALL),
    re.compile(r"^\[[^\]]*\] (?P<rest>.+)$", re.DOTALL),
)
"""What NVIDIA writes around a reason: the call and its code, the C++ assertion, the source line."""
_TAIL = re.compile(r"[.;]?\s*(In \w+ at \S+:\d+|\[\w+\.cpp:\d+: \w+\].*|Please .*)$", re.DOTALL)
"""What it writes behind: where in its source, and flags of the C++ API to try."""

MEMORY = ("out of memory", "outofmemory", "bad_alloc", "could not be allocated", "alloc_failed")
"""In what TensorRT and CUDA say (errors and warnings) where memory ran out while building."""
WORKSPACE = ("insufficient workspace", "within workspace limit", "increasing the workspace")
"""What is said where no kernel gets by with the workspace that it may use."""


class Message(NamedTuple):
    """What a runtime said: severity ("ERROR", "WARNING", "INFO", "VERBOSE" ...) and text."""

    severity: str
    text: str


def says(texts: Iterable[str], words: Iterable[str]) -> bool:
    """Say whether one of the texts holds one of the words, written large or small."""
    words = list(words)
    return any(word in text.lower() for text in texts for word in words)


def last_error(messages: Iterable[Message]) -> str:
    """Return the last error that says something, shortened to one line."""
    errors = [message.text for message in messages if message.severity.endswith("ERROR")]
    telling = [text for text in errors if not _GENERIC.search(text)]
    return shortened((telling or errors or ["it does not say why"])[-1])


def node_refused(error: Any) -> str:
    """Return operator, name, reason and way out of what the ONNX parser found wrong."""
    # Names came with TensorRT 10; before, there is the node's number in the file.
    name = error.node_name() if hasattr(error, "node_name") else f"number {error.node()}"
    kind = error.node_operator() if hasattr(error, "node_operator") else "node"
    reason = shortened(error.desc()).removeprefix(f"{name}: ")
    return f"{kind} '{name}': {reason}; change the model there, then pack again"


def shortened(text: str, limit: int = 240) -> str:
    r"""Return the reason out of one of NVIDIA's messages, in one line.

    >>> shortened("Assertion failed: isOk(zero): Non-zero zero point is not supported.")
    'Non-zero zero point is not supported'
    >>> shortened("IBuilder::f: Error Code 4: API Usage Error (No output. In g at /a/b.cpp:38)")
    'No output'
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # The first says "Invalid Node - NAME", which is told anyway, and a driver that is missing on
    # a machine without a GPU is not the reason.
    telling = [line for line in lines if not re.match(r"Invalid Node - |\[\d+\]$", line)]
    reason = next((line for line in telling if not _GENERIC.search(line)), "".join(lines[:1]))
    before = ""
    while reason != before:
        before = reason
        for frame in _FRAMES:
            reason = frame.sub(r"\g<rest>", reason)
        reason = _TAIL.sub("", reason).strip()
    return reason.removesuffix(".")[:limit]
