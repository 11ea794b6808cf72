"""The verbs of the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from scimage.cli.options import (
    ImageArgument,
    Memory,
    Output,
    Overwrite,
    Scheduler,
    Workers,
    bytes_of,
    numbers,
    spread,
)
from scimage.cli.show import describe, print_line, print_rows, progress
from scimage.graft.parameters import GraftParameters
from scimage.lesion.parameters import LesionParameters

__all__ = ["app"]

app = typer.Typer(
    name="scimage",
    help="Lesion volumes and graft-cell counts from microscope stacks of the injured spinal cord.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


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
@spread(LesionParameters)
def lesion(
    parameters: LesionParameters,
    image: ImageArgument,
    workers: Workers = 2,
    scheduler: Scheduler = None,
    memory: Memory = "4GB",
    output: Output = None,
    overwrite: Overwrite = False,
) -> None:
    """Segment the lesion: core, cavity and astroglial border, with volumes and a profile."""
    from scimage.image import open_image
    from scimage.lesion import segment_lesion

    with progress(str(image)) as report:
        result = segment_lesion(
            open_image(image), parameters, output=output, overwrite=overwrite, workers=workers,
            scheduler=scheduler, memory_bytes=bytes_of(memory), report=report,
        )  # fmt: skip
    rows = [[key, _number(value)] for key, value in result.measurements.items()]
    print_rows(f"{image}: lesion", ["outcome", "value"], rows)
    print_line(
        f"thresholds: tissue {_number(result.tissue_threshold)}, "
        f"dense GFAP {_number(result.border_threshold)}"
    )
    if result.qc_flag:
        print_line(f"WARNING: no lesion was found ({result.qc_flag.replace('_', ' ')})")
    print_line(f"written to {result.store.path}: labels/lesion, tables/lesion_*")


@app.command()
@spread(GraftParameters)
def grafts(
    parameters: GraftParameters,
    image: ImageArgument,
    workers: Workers = 2,
    scheduler: Scheduler = None,
    memory: Memory = "4GB",
    output: Output = None,
    overwrite: Overwrite = False,
) -> None:
    """Count surviving graft cells: every nucleus once, every rejection with its reason."""
    from scimage.graft import count_grafts
    from scimage.image import open_image

    with progress(str(image)) as report:
        result = count_grafts(
            open_image(image), parameters, output=output, overwrite=overwrite, workers=workers,
            scheduler=scheduler, memory_bytes=bytes_of(memory), report=report,
        )  # fmt: skip
    rows = [["detected", str(result.n_detected)]]
    rows += [[f"rejected: {reason}", str(n)] for reason, n in result.rejected.items()]
    rows += [["kept", str(result.n_kept)]]
    print_rows(f"{image}: graft cells", ["", "cells"], rows)
    print_line(f"noise {result.noise:.4g}, threshold {result.threshold:.4g} (contrast)")
    print_line(f"written to {result.store.path}: tables/graft_cells")


@app.command()
def measure(
    image: ImageArgument,
    channel: Annotated[str, typer.Option(help="Channel that holds the labels.")] = "0",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure an existing mask or label image: the volume of each value."""
    from scimage.image import open_image
    from scimage.lesion import measure_labels

    with progress(str(image)) as report:
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
