"""``edge-seg``: the commands, and how an error becomes one line and an exit code."""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
from importlib.metadata import entry_points
from tempfile import gettempdir
from types import FrameType, ModuleType
from typing import Annotated, NoReturn

import typer

import edge_seg
from edge_seg.errors import EdgeSegError, in_one_line
from edge_seg.files import explain

COMMANDS = (
    "pack",
    "build",
    "run",
    "verify",
    "inspect",
    "eval",
    "bench",
    "study",
    "train",
    "models",
    "targets",
    "frames",
    "doctor",
)
"""Each is a module beside this one that holds ``command``, or ``app`` where it has subcommands."""

GROUP = "edge_seg.commands"
"""The entry-point group in which other packages bring such modules, by the command's name."""

EXTRAS = {
    "pack": ("torch", "onnx", "transformers", "safetensors", "jinja2", "markupsafe", "matplotlib"),
    "x86": ("onnxruntime", "openvino"),
    "carla": ("carla", "panda3d", "direct", "msgpack", "scipy", "av"),
}
"""Import names that only some commands need, by the extra that brings them."""

app = typer.Typer(
    name="edge-seg",
    help="Quantize a segmentation model, prove it on its own runtime, run it on the edge.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"edge-seg {edge_seg.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Quantize a segmentation model, prove it on its own runtime, run it on the edge."""


def _register() -> None:
    for name in COMMANDS:
        _add(name, importlib.import_module(f"edge_seg.cli.{name}"))
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            _add(point.name, point.load())
        except Exception as error:  # what another package got wrong stops no other command
            print(f"warning: no command '{point.name}': {in_one_line(error)}", file=sys.stderr)


def _add(name: str, module: ModuleType) -> None:
    if hasattr(module, "app"):
        app.add_typer(module.app, name=name)
    else:
        app.command(name)(module.command)


_register()


def main() -> None:
    """Run the command line: exit 0 done, 1 our fault, 2 bad input, 3 gate missed.

    A Ctrl-C (exit 130) and a closed pipe are typer's to handle. SIGTERM ends the command as it
    does by default, but first what is half done is taken away.
    """
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        app()
    except _Terminated:
        os.kill(os.getpid(), signal.SIGTERM)
    except EdgeSegError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        extra = _extra_of(error.name or "")
        if extra is None:
            _our_fault(error)
        print(
            f"error: this needs {error.name}, which is not installed: "
            f"pip install 'edge-seg[{extra}]'",
            file=sys.stderr,
        )
        sys.exit(EdgeSegError.exit_code)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            _our_fault(error)
        print(f"error: {explain(error, error.filename or gettempdir())}", file=sys.stderr)
        sys.exit(EdgeSegError.exit_code)
    except Exception as error:
        _our_fault(error)
    finally:
        signal.signal(signal.SIGTERM, before)


class _Terminated(BaseException):
    """SIGTERM came; no handler of errors takes it for one."""


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second one ends at once
    raise _Terminated


def _extra_of(module: str) -> str | None:
    """Return the extra that brings a module, or None where no extra does."""
    root = module.partition(".")[0]
    return next((extra for extra, modules in EXTRAS.items() if root in modules), None)


def _our_fault(error: Exception) -> NoReturn:
    if os.environ.get("EDGE_SEG_DEBUG"):
        raise error
    print(
        f"internal error: {type(error).__name__}: {error} "
        "(this is a fault of edge-seg; EDGE_SEG_DEBUG=1 shows the traceback)",
        file=sys.stderr,
    )
    sys.exit(1)
