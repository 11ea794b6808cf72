"""Agreement between raters, programs and truth."""

from scimage.review.agreement import Detection, dice, match_points

__all__ = ["Detection", "dice", "match_points"]
