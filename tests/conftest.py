"""What the tests share: the folder of real data, and a quiet TensorFlow."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real micrographs beside the checkout; skips where it is absent."""
    if not (SHARED / "README.md").is_file():
        pytest.skip(f"needs the real data of {SHARED}, which is not there")
    return SHARED
