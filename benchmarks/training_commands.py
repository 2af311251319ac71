"""The commands that train and compare: each goes on where it was stopped.

python -m benchmarks transfer --photographs FOLDER
python -m benchmarks compare-networks
python -m benchmarks compare-losses
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from edge_seg.training.command import be_kind_to_memory_and_cores

if TYPE_CHECKING:
    from benchmarks.transfer import Results

Photographs = Annotated[
    Path | None, typer.Option(help="Folder with index.csv; without it, lane-test alone.")
]
Limit = Annotated[int, typer.Option(min=1, help="Photographs of each source.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes that render.")]
Steps = Annotated[int, typer.Option(min=1, help="Steps of each training.")]
Batch = Annotated[int, typer.Option(min=1)]
Seed = Annotated[int, typer.Option(min=0)]
Bf16 = Annotated[bool, typer.Option(help="Train in bfloat16.")]
Output = Annotated[Path, typer.Option("-o", "--output")]
RESULTS = Path(__file__).parent / "results"

Training = tuple[str, int, Callable[[], dict[str, Any]]]
"""Name, seed, and what trains and measures it."""

console = Console()


def transfer(
    photographs: Photographs = None,
    steps: Steps = 600,
    terms: Annotated[
        list[str] | None, typer.Option(help="A term, or group of them, to leave out: each group.")
    ] = None,
    seeds: Annotated[list[int] | None, typer.Option(help="A seed; may be repeated.")] = None,
    batch: Batch = 8,
    limit: Limit = 60,
    workers: Workers = 1,
    bf16: Bf16 = True,
    out: Output = RESULTS / "transfer.json",
) -> None:
    """Train without one kind of random things in the scene after the other."""
    be_kind_to_memory_and_cores()
    from benchmarks import training_tables
    from benchmarks import transfer as made

    settings = made.setup(steps, batch, bf16)
    with made.comparison(out, settings, photographs, limit) as (results, pictures):
        trainings: list[Training] = [
            (one.name, one.seed, lambda one=one: made.run(one, settings, pictures, workers))
            for one in made.ablations(terms or [], seeds or [0])
        ]
        _complete(results, trainings)
    rows = training_tables.rows(results.runs)
    _show("What the scene's terms are worth", training_tables.HEADS, rows)


def compare_networks(
    photographs: Photographs = None,
    steps: Steps = 600,
    seed: Seed = 0,
    batch: Batch = 8,
    limit: Limit = 60,
    workers: Workers = 1,
    bf16: Bf16 = True,
    out: Output = RESULTS / "networks.json",
) -> None:
    """Train widths and input sizes on equally many frames."""
    be_kind_to_memory_and_cores()
    from benchmarks import networks, training_tables
    from benchmarks import transfer as made

    settings = msgspec.structs.replace(made.setup(steps, batch, bf16), seed=seed)
    with made.comparison(out, settings, photographs, limit) as (results, pictures):

        def train(base: int, size: tuple[int, int]) -> dict[str, Any]:
            return networks.run(base, size, settings, pictures, workers)

        trainings: list[Training] = [
            (networks.name_of(base, size), seed, lambda base=base, size=size: train(base, size))
            for base, size in networks.candidates()
        ]
        _complete(results, trainings)
    rows = map(training_tables.network_row, results.runs)
    _show(f"{steps} steps each", training_tables.NETWORK_HEADS, rows)


def compare_losses(
    photographs: Photographs = None,
    steps: Steps = 600,
    seed: Seed = 0,
    batch: Batch = 8,
    limit: Limit = 60,
    workers: Workers = 1,
    bf16: Bf16 = True,
    out: Output = RESULTS / "losses.json",
) -> None:
    """Train with one loss after the other, on the same frames."""
    be_kind_to_memory_and_cores()
    from benchmarks import training_tables
    from benchmarks import transfer as made

    settings = made.setup(steps, batch, bf16)
    with made.comparison(out, settings, photographs, limit) as (results, pictures):

        def train(loss: str) -> dict[str, Any]:
            changed = msgspec.structs.replace(settings, loss=loss)
            return made.run(made.Ablation(loss, seed, ()), changed, pictures, workers)

        _complete(results, [(loss, seed, lambda loss=loss: train(loss)) for loss in made.LOSSES])
    rows = training_tables.rows(results.runs)
    _show(f"{steps} steps each", training_tables.HEADS, rows)


def _complete(results: Results, trainings: list[Training]) -> None:
    """Run what is not there yet, and keep each result at once."""
    for number, (name, seed, run) in enumerate(trainings, 1):
        if not results.has(name, seed):
            console.print(f"{number} of {len(trainings)}: {name}, seed {seed}")
            results.add(run())


def _show(title: str, heads: list[str], rows: Iterable[list[str]]) -> None:
    table = Table(title=title)
    for index, head in enumerate(heads):
        table.add_column(head, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)
