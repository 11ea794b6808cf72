"""``python -m scimage.cli``."""

from scimage.cli import main

main()
