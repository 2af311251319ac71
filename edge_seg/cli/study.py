"""``edge-seg study``: methods of quantization compared, by a plan in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    study: Annotated[
        str | None,
        typer.Argument(metavar="FILE.toml|NAME", help="A study's file, or a shipped one's name."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder for all results; NAME.study without it."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="The study's quick form: what its [quick] changes.")
    ] = False,
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, max=64, help="Runs side by side on this machine.")
    ] = 1,
    ray: Annotated[
        str | None,
        typer.Option(help="Run on the Ray cluster at this address; 'auto' finds one here."),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Also write the results here, as JSON.")] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(help="Also write table and conclusion here: a whole file, or between marks."),
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the shipped studies.")] = False,
) -> None:
    """Compare methods, engines, widths and seeds; what is finished is never run again.

    The folder gets results.json, results.csv and study.html, and a record for each run: after a
    Ctrl-C, a kill or a full disk the same command goes on.
    """
    from edge_seg.cli import console
    from edge_seg.errors import EdgeSegError
    from edge_seg.files import require_apart, require_writable
    from edge_seg.study import plan as plans

    if listed:
        if study is not None or json is not None or markdown is not None:
            raise EdgeSegError("--list only lists: leave the rest out")
        for name, path in plans.shipped().items():
            console.output.print(f"{name}: {plans.read_plan(path).study.title}", markup=False)
        return
    if study is None:
        raise EdgeSegError("name a study: a .toml file or a shipped one (edge-seg study --list)")
    if ray is not None and jobs != 1:
        raise EdgeSegError("--jobs is for this machine and --ray for a cluster: leave one out")
    plan = plans.read_plan(plans.find(study), quick)
    goals = [path for path in (json, markdown) if path is not None]
    require_apart(goals, [Path(study)])
    for goal in goals:
        require_writable(goal)

    from edge_seg.frames import FrameSet
    from edge_seg.study.conduct import conduct
    from edge_seg.study.crew import on_this_machine
    from edge_seg.study.live import Live, results_table
    from edge_seg.study.markdown import write_markdown
    from edge_seg.study.page import write_page
    from edge_seg.study.results import write_results

    folder = output or Path(f"{plan.study.name}{'-quick' if quick else ''}.study")
    if ray is None:
        hands = on_this_machine(jobs)
    else:
        from edge_seg.study.on_ray import on_ray

        hands = on_ray(ray)
    with console.resumable(), Live(console.errors) as watch:
        results = conduct(plan, folder, hands, watch)
    write_results(folder, results)
    write_page(folder, results, FrameSet.open(results.evaluation_place))
    if json is not None:
        console.write_json(json, results)
    if markdown is not None:
        write_markdown(markdown, results)
    console.output.print(results_table(results))
    if not any(row.status == "done" for row in results.rows):
        raise EdgeSegError(f"no row could be run: {results.rows[0].reason}")
    for line in results.conclusion:
        console.output.print(f"- {line}.", markup=False)
    console.output.print(f"{folder / 'study.html'}", markup=False)
