"""Prove that existing results are what was written, and that they agree with each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scimage.errors import ScimageError
from scimage.image import ResultStore
from scimage.lesion import measure_labels

__all__ = ["Check", "verify_store"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was compared; `found` says what is wrong, if anything is."""

    what: str
    found: str = ""

    @property
    def right(self) -> bool:
        """Whether it is as it should be."""
        return not self.found


def verify_store(path: str | Path) -> list[Check]:
    """Check every analysis of an image or of a store of results, without the network.

    Each file against the digest that was taken when it was written; each label voxel decoded and
    counted again, against the tables; the numbers of cells against the record of the run.

    Raises
    ------
    FormatError
        There is no store.
    """
    store = ResultStore(path)
    checks = []
    for analysis in store.analyses():
        damage = store.damage(analysis)
        checks.append(Check(f"{analysis}: files and their digests", "; ".join(damage[:5])))
        try:
            checks += _contents(store, analysis)
        except ScimageError as error:
            checks.append(Check(f"{analysis}: contents", str(error)))
    if not checks:
        checks.append(Check("results", "there are none with digests"))
    return checks


def _contents(store: ResultStore, analysis: str) -> Iterator[Check]:
    record = store.run_record(analysis)
    if analysis == "lesion":
        parameters = record["parameters"]
        profile = measure_labels(
            store.label("lesion"),
            rostrocaudal_axis=parameters["rostrocaudal_axis"],
            rostral_end=parameters["rostral_end"],
        )
        same = profile.profile_table().equals(store.table("lesion_profile"))
        yield Check("lesion: profile counted again", "" if same else "another profile")
        stated = store.table("lesion_measurements").to_pylist()[0]
        for name, value in profile.measurements().items():
            if name == "cavity_mm3" and parameters["tissue"] is None:
                continue
            differs = "" if stated.get(name) == value else f"{stated.get(name)} is {value}"
            yield Check(f"lesion: {name}", differs)
        attributes = store.table_attributes("lesion_measurements")["scimage"]["parameters"]
        same = attributes == parameters
        yield Check("lesion: parameters of table and run", "" if same else "they differ")
    if analysis == "grafts":
        cells = store.table("graft_cells")
        kept = cells["class"].to_pylist().count("kept")
        numbers = {"detected": cells.num_rows, "kept": kept}
        numbers |= {"rejected": cells.num_rows - kept}
        stated = {**record, "rejected": sum(record["rejected"].values())}
        for name, value in numbers.items():
            differs = "" if stated[name] == value else f"{stated[name]} is {value}"
            yield Check(f"grafts: {name}", differs)
        ids = np.asarray(cells["cell_id"])
        unique = len(np.unique(ids)) == len(ids)
        yield Check("grafts: one row a cell", "" if unique else "cells occur twice")
