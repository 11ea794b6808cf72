"""From results to what a paper needs: exports, figures, a report."""

from scimage.study.export import export_table
from scimage.study.figures import cells_figure, lesion_figure, profile_figure
from scimage.study.report import Picture, Section, write_report

__all__ = [
    "Picture",
    "Section",
    "cells_figure",
    "export_table",
    "lesion_figure",
    "profile_figure",
    "write_report",
]
