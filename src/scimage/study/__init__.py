"""From results to what a paper needs: exports, figures, a report."""

from scimage.study.export import export_table

__all__ = ["export_table"]
