"""The verbs of the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scimage.cli.options import (
    ImageArgument,
    LogJson,
    Output,
    Overwrite,
    Verbose,
    Workers,
    numbers,
    spread,
)
from scimage.cli.show import describe, print_line, print_rows, progress
from scimage.engine.execution import Execution
from scimage.graft.parameters import GraftParameters
from scimage.lesion.parameters import LesionParameters

if TYPE_CHECKING:
    from scimage.blocks import Pass

__all__ = ["app"]

app = typer.Typer(
    name="scimage",
    help="Lesion volumes and graft-cell counts from microscope stacks of the injured spinal cord.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

plan_app = typer.Typer(help="What a run will cost, before it begins.", no_args_is_help=True)
app.add_typer(plan_app, name="plan")


@app.command()
def convert(
    source: Annotated[
        list[str],
        typer.Argument(
            help="A TIFF, NIfTI or OME-Zarr, a folder or glob of planes, or one file a channel.",
            show_default=False,
        ),
    ],
    image: Annotated[
        Path, typer.Argument(help="The image to write: NAME.ome.zarr.", show_default=False)
    ],
    spacing: Annotated[
        str | None, typer.Option(help="Voxel size Z,Y,X in micrometres; wins over the file.")
    ] = None,
    channels: Annotated[
        str | None, typer.Option(help="Names for the channels, in their order: GFAP,DNA.")
    ] = None,
    workers: Workers = 2,
    overwrite: Overwrite = False,
) -> None:
    """Convert a microscope file to a sharded OME-Zarr image with a known voxel size."""
    from scimage import image as images

    voxel = None if spacing is None else numbers("--spacing", spacing, 3)
    with progress(" ".join(source)) as report:
        made = images.convert(
            source[0] if len(source) == 1 else source,
            image,
            spacing_um=None if voxel is None else (voxel[0], voxel[1], voxel[2]),
            channels=None if channels is None else [c.strip() for c in channels.split(",")],
            overwrite=overwrite,
            workers=workers,
            report=report,
        )
    size = " x ".join(str(n) for n in made.shape)
    voxel_text = " x ".join(f"{s:g}" for s in made.spacing_um)
    print_line(
        f"{made.path}: {size} (c z y x) {made.dtype}, {voxel_text} um ({made.spacing_origin})"
    )


@app.command()
def inspect(
    path: Annotated[str, typer.Argument(help="An image or a microscope file.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what an image is: axes, voxel size and its origin, channels, labels, tables."""
    from scimage import image as images

    summary = images.summarize(path)
    if as_json:
        print_line(json.dumps(summary, indent=2))
    else:
        describe(summary)


@app.command()
@spread(LesionParameters, Execution)
def lesion(
    parameters: LesionParameters,
    execution: Execution,
    image: ImageArgument,
    output: Output = None,
    overwrite: Overwrite = False,
    verbose: Verbose = False,
    log_json: LogJson = None,
) -> None:
    """Segment the lesion: core, cavity and astroglial border, with volumes and a profile."""
    from scimage.image import open_image
    from scimage.lesion import segment_lesion

    with progress(image, verbose=verbose, log_json=log_json) as report:
        result = segment_lesion(
            open_image(image), parameters, output=output, overwrite=overwrite,
            execution=execution, report=report,
        )  # fmt: skip
    rows = [[key, _number(value)] for key, value in result.measurements.items()]
    print_rows(f"{image}: lesion", ["outcome", "value"], rows)
    print_line(
        f"thresholds: tissue {_number(result.tissue_threshold)}, "
        f"dense GFAP {_number(result.border_threshold)}"
    )
    if result.qc_flag:
        print_line(f"WARNING: no lesion was found ({result.qc_flag.replace('_', ' ')})")
    _print_cost(result.store.run_record("lesion"))
    print_line(f"written to {result.store.path}: labels/lesion, tables/lesion_*")


@app.command()
@spread(GraftParameters, Execution)
def grafts(
    parameters: GraftParameters,
    execution: Execution,
    image: ImageArgument,
    output: Output = None,
    overwrite: Overwrite = False,
    verbose: Verbose = False,
    log_json: LogJson = None,
) -> None:
    """Count surviving graft cells: every nucleus once, every rejection with its reason."""
    from scimage.graft import count_grafts
    from scimage.image import open_image

    with progress(image, verbose=verbose, log_json=log_json) as report:
        result = count_grafts(
            open_image(image), parameters, output=output, overwrite=overwrite,
            execution=execution, report=report,
        )  # fmt: skip
    rows = [["detected", str(result.n_detected)]]
    rows += [[f"rejected: {reason}", str(n)] for reason, n in result.rejected.items()]
    rows += [["kept", str(result.n_kept)]]
    print_rows(f"{image}: graft cells", ["", "cells"], rows)
    print_line(f"noise {result.noise:.4g}, threshold {result.threshold:.4g} (contrast)")
    _print_cost(result.store.run_record("grafts"))
    print_line(f"written to {result.store.path}: tables/graft_cells")


@plan_app.command("lesion")
@spread(LesionParameters, Execution)
def plan_lesion(parameters: LesionParameters, execution: Execution, image: ImageArgument) -> None:
    """What segmenting the lesion will cost."""
    from scimage.image import open_image
    from scimage.lesion import lesion_stages

    _print_plan(*lesion_stages(open_image(image), parameters), execution)


@plan_app.command("grafts")
@spread(GraftParameters, Execution)
def plan_grafts(parameters: GraftParameters, execution: Execution, image: ImageArgument) -> None:
    """What counting graft cells will cost."""
    from scimage.graft import graft_stages
    from scimage.image import open_image

    _print_plan(*graft_stages(open_image(image), parameters), execution)


def _print_plan(
    stages: dict[str, Pass[Any, Any]], chunk: tuple[int, int, int], execution: Execution
) -> None:
    from scimage.engine import make_plan, seconds_for

    processes = execution.workers if execution.processes or execution.cluster else 0
    made = make_plan(stages, chunk, execution, execution.workers, processes)
    rows = [
        [s.name, f"{s.read_bytes / 1e6:.4g}", f"{s.written_bytes / 1e6:.4g}",
         f"{s.block_bytes / 1e6:.4g}", f"{100 * s.halo_share:.0f}%"]
        for s in made.stages
    ]  # fmt: skip
    columns = ["sweep", "MB read", "MB written", "MB a block", "halo"]
    print_rows("at most", columns, rows)
    for line in made.lines():
        print_line(line)
    print_line(f"about {seconds_for(made, stages):.3g} s, from one block of each sweep")


def _print_cost(record: dict[str, Any]) -> None:
    """Planned beside actual."""
    planned, actual = record["planned"], record["actual"]
    print_line(
        f"{actual['seconds']:.1f} s; read {actual['read_bytes'] / 1e9:.3g} GB "
        f"(planned at most {planned['read_bytes'] / 1e9:.3g}); peak memory of a process "
        f"{actual['peak_process_bytes'] / 1e9:.2f} GB "
        f"(planned {planned['memory_bytes'] / 1e9:.2f} in all)"
    )


@app.command()
def verify(image: ImageArgument) -> None:
    """Prove results offline: files against their digests, tables against labels and records."""
    from scimage.study import verify_store

    checks = verify_store(image)
    print_rows(
        f"{image}", ["what", "state"],
        [[c.what, "right" if c.right else f"WRONG: {c.found}"] for c in checks],
    )  # fmt: skip
    if not all(c.right for c in checks):
        raise typer.Exit(1)


@app.command()
def clean(
    path: Annotated[
        Path, typer.Argument(help="An image, or a folder of images.", show_default=False)
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list.")] = False,
) -> None:
    """List what runs left that ended without an end, and remove it; they can then not go on."""
    from scimage.image import leftovers

    found = leftovers(path)
    rows = [[str(f.path), f.what, f"{f.bytes / 1e6:.3g}"] for f in found]
    print_rows(f"{path}: left by stopped runs", ["path", "what", "MB"], rows)
    if not found or dry_run:
        return
    if not yes and not (sys.stdin.isatty() and typer.confirm("Remove all of this?")):
        print_line("nothing was removed (--yes removes)")
        return
    for leftover in found:
        leftover.remove()
    print_line(f"removed {len(found)}")


@app.command()
def measure(
    image: ImageArgument,
    channel: Annotated[str, typer.Option(help="Channel that holds the labels.")] = "0",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure an existing mask or label image: the volume of each value."""
    from scimage.image import open_image
    from scimage.lesion import measure_labels

    with progress(image) as report:
        profile = measure_labels(open_image(image), channel, report=report)
    volumes = profile.volumes_mm3()
    if as_json:
        print_line(json.dumps({"volumes_mm3": volumes}, indent=2))
    else:
        voxels = profile.counts.sum(axis=0)
        rows = [[str(v), str(voxels[v]), f"{mm3:.6g}"] for v, mm3 in volumes.items()]
        print_rows(f"{image}: labels", ["value", "voxels", "mm3"], rows)


@app.command()
def phantom(
    folder: Annotated[Path, typer.Argument(help="Folder to write into.", show_default=False)],
    preset: Annotated[str, typer.Option(help="Which cord and microscope; see --list.")] = (
        "mouse-demo"
    ),
    seed: Annotated[int, typer.Option(help="Same seed, same pixels.", min=0)] = 1,
    vehicle: Annotated[bool, typer.Option("--vehicle", help="Injured, but not grafted.")] = False,
    list_presets: Annotated[bool, typer.Option("--list", help="List the presets.")] = False,
    workers: Workers = 2,
    overwrite: Overwrite = False,
) -> None:
    """Make a synthetic injured cord with known truth."""
    from scimage.cli.phantoms import presets, write_phantom

    if list_presets:
        print_rows("presets", ["name", "voxels (z y x)", "um"], presets())
        return
    with progress(str(folder)) as report:
        made = write_phantom(
            folder, preset, seed, vehicle=vehicle, workers=workers, overwrite=overwrite,
            report=report,
        )  # fmt: skip
    print_line(f"{made.image_path}: the image")
    print_line(f"{made.truth_path}: its truth (labels/truth, tables/cells, tables/volumes)")


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Folder to write into.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Same seed, same cord.", min=0)] = 1,
    workers: Workers = 2,
) -> None:
    """Make a synthetic cord, analyse it, compare with the truth, and draw the results."""
    from scimage.cli.demonstration import run_demo

    with progress(str(folder)) as report:
        outcome = run_demo(folder, seed=seed, workers=workers, report=report)
    rows = [[name, found, truth, score] for name, found, truth, score in outcome.rows]
    print_rows("synthetic mouse cord", ["", "found", "truth", "agreement"], rows)
    print_line(f"open {outcome.report_path}")


@app.command()
def export(
    image: ImageArgument,
    table: Annotated[str, typer.Argument(help="Name of a table.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="OUT.csv or OUT.parquet.", show_default=False)],
    overwrite: Overwrite = False,
) -> None:
    """Write a table of an image as CSV or Parquet."""
    from scimage.study import export_table

    rows = export_table(image, table, out, overwrite=overwrite)
    print_line(f"{out}: {rows} rows")


def _number(value: object) -> str:
    if value is None:
        return "none"
    return f"{value:.5g}" if isinstance(value, float) else str(value)
