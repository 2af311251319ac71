"""``edge-seg world``: the built-in world, for CARLA's own client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from carla_bridge.world.server.serve import Ready


def command(
    map: Annotated[
        str, typer.Option(metavar="NAME|FILE.xodr", help="A shipped map, or an OpenDRIVE file.")
    ] = "Straight",
    port: Annotated[
        int, typer.Option(min=0, max=65534, help="Calls; streams are on the next. 0: free ones.")
    ] = 2000,
    host: Annotated[
        str, typer.Option(help="Where to listen; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same world.")] = 0,
    traffic: Annotated[
        int, typer.Option(min=0, max=500, help="Cars that follow lanes, in each map loaded.")
    ] = 0,
    json: Annotated[
        bool, typer.Option("--json", help="Say in JSON when it can be connected to.")
    ] = False,
    end_with: Annotated[
        int, typer.Option(hidden=True, help="End when this process, our parent, ends.")
    ] = 0,
) -> None:
    """Serve the built-in world to CARLA 0.9.16's client, until ctrl-C."""
    from edge_seg.errors import MissingRuntimeError

    if end_with:
        from edge_seg import worker

        worker.end_with(end_with)
    try:
        from carla_bridge.world.server.serve import serve

        serve(map, host, port, seed, traffic, _print_json if json else _print)
    except ModuleNotFoundError as error:
        raise MissingRuntimeError(
            f"the world needs {error.name}: pip install 'edge-seg[carla]'"
        ) from error


def _print(ready: Ready) -> None:
    print(
        f"{ready.map} at {ready.host}:{ready.port}, as CARLA 0.9.16; "
        f"streams at {ready.stream_port}; ctrl-C ends it",
        flush=True,
    )


def _print_json(ready: Ready) -> None:
    import msgspec

    print(msgspec.json.encode(ready).decode(), flush=True)
