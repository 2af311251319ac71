"""Silence around toolchains that talk: warnings, logging, and what C++ writes to standard error."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop what libraries say below an error; what our own Python writes still arrives.

    Descriptor 2 belongs to the whole process, so a progress display of ours would vanish with
    the rest: `sys.stderr` gets a copy of it for that time.
    """
    before = logging.root.manager.disable
    with warnings.catch_warnings(), _silent_descriptor():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)


@contextlib.contextmanager
def _silent_descriptor() -> Iterator[None]:
    ours = sys.stderr
    ours.flush()
    with os.fdopen(os.dup(2), "w", buffering=1) as copy, open(os.devnull, "w") as nowhere:
        if ours is sys.__stderr__:
            sys.stderr = copy
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(copy.fileno(), 2)
            sys.stderr = ours
