"""From results to what a paper needs: exports, figures, a report."""

from scimage.study.export import export_table
from scimage.study.figures import cells_figure, lesion_figure, profile_figure
from scimage.study.report import Picture, Section, write_report
from scimage.study.verify import Check, verify_store

__all__ = [
    "Check",
    "Picture",
    "Section",
    "cells_figure",
    "export_table",
    "lesion_figure",
    "profile_figure",
    "verify_store",
    "write_report",
]
