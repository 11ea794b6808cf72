"""Fixtures for all rooms."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real images; tests that need it are skipped without it."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SCIMAGE_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no test data in {folder}: set SCIMAGE_TEST_DATA")
    return folder


# SCIMAGE_HYPOTHESIS=thorough searches longer, and anew on each run.
settings.register_profile("quick", max_examples=20, deadline=None, derandomize=True)
settings.register_profile("thorough", max_examples=500, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("SCIMAGE_HYPOTHESIS", "quick"))
