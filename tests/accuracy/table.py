"""Rows of the accuracy table, and the table as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from scimage.review import Detection

__all__ = ["Floor", "Row", "cells_row", "render"]

_HEAD = (
    "data set", "compared", "parameters", "truth", "found", "TP", "FP", "FN", "measure", "value",
    "floor", "verdict", "note",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Floor:
    """What a value must reach; `at_most` turns the floor into a ceiling."""

    value: float
    at_most: bool = False

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.value:g}"

    def holds(self, value: float) -> bool:
        return value <= self.value if self.at_most else value >= self.value


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison with the truth; `floor` is None where there is nothing to reach."""

    data_set: str
    compared: str
    parameters: str
    truth: str
    found: str
    measure: str
    value: float
    floor: Floor | None = None
    errors: tuple[int, int, int] | None = field(default=None, metadata={"help": "TP, FP, FN"})
    note: str = ""

    @property
    def passed(self) -> bool:
        return self.floor is None or self.floor.holds(self.value)

    @property
    def verdict(self) -> str:
        if self.floor is None:
            return "shown"
        return "reached" if self.passed else "MISSED"

    def cells(self) -> tuple[str, ...]:
        errors = [""] * 3 if self.errors is None else [str(n) for n in self.errors]
        return (
            self.data_set, self.compared, self.parameters, self.truth, self.found, *errors,
            self.measure, f"{self.value:.4g}", str(self.floor or ""), self.verdict, self.note,
        )  # fmt: skip


def cells_row(
    data_set: str,
    compared: str,
    parameters: str,
    detections: Sequence[Detection],
    floor: Floor | None,
    note: str = "",
) -> Row:
    """F1 over all images of a data set together, with the number found and true in each."""
    tp = sum(d.true_positives for d in detections)
    truth, found = (sum(getattr(d, n) for d in detections) for n in ("n_reference", "n_found"))
    f1 = 2 * tp / (truth + found) if truth + found else 1.0
    if len(detections) > 1:
        each = " ".join(f"{d.n_found}/{d.n_reference}" for d in detections)
        note = "; ".join(filter(None, (f"found/true per image {each}", note)))
    return Row(
        data_set, compared, parameters, str(truth), str(found), "F1", f1, floor,
        (tp, found - tp, truth - tp), note,
    )  # fmt: skip


def render(rows: Sequence[Row], markdown: bool = False) -> str:
    """The table, aligned, as plain text or Markdown."""
    lines = [_HEAD, *(row.cells() for row in rows)]
    width = [max(len(line[i]) for line in lines) for i in range(len(_HEAD))]
    left, between, right = ("| ", " | ", " |") if markdown else ("", "  ", "")
    text = [
        left + between.join(c.ljust(w) for c, w in zip(line, width, strict=True)) + right
        for line in lines
    ]
    rule = "-|-" if markdown else "  "
    text.insert(1, left + rule.join("-" * w for w in width) + right)
    return "\n".join(line.rstrip() for line in text)
