"""Tables of an image as files for other programs."""

from __future__ import annotations

from pathlib import Path

from scimage.errors import FormatError, TargetExistsError, UsageError
from scimage.image import ResultStore, naming_storage

__all__ = ["export_table"]


def export_table(store: str | Path, table: str, out: str | Path, *, overwrite: bool = False) -> int:
    """Write a table as CSV or Parquet, by the suffix of `out`; the number of rows is returned.

    Parameters
    ----------
    store
        An OME-Zarr image, or a store of results.
    table
        Name of the table, for example ``graft_cells``.

    Raises
    ------
    UsageError
        No such table, or another suffix.
    TargetExistsError
        `out` exists and `overwrite` is not set.
    """
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

    target = Path(out)
    if target.suffix not in (".csv", ".parquet"):
        raise UsageError(
            out, found=f"suffix {target.suffix!r}", expected=".csv or .parquet",
            remedy="Choose one of these.",
        )  # fmt: skip
    if not Path(store).exists():
        raise FormatError(
            store, found="no such file or folder", expected="an OME-Zarr image or store",
            remedy="Check the path.",
        )  # fmt: skip
    content = ResultStore(store).table(table)
    if target.exists() and not overwrite:
        raise TargetExistsError(
            target, found="it exists already", expected="a name that is free",
            remedy="Choose another name, or replace it with --overwrite.",
        )  # fmt: skip
    partial = target.with_name(f".{target.name}.partial")
    with naming_storage(target):
        if target.suffix == ".csv":
            pa_csv.write_csv(content, partial)
        else:
            pq.write_table(content, partial)
        partial.replace(target)
    return int(content.num_rows)
