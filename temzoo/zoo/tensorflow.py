"""TensorFlow without its greetings, which it prints at any log level when it is imported."""

from __future__ import annotations

import os
import sys


def load_tensorflow() -> None:
    """Imports TensorFlow while the error stream leads nowhere, but for TF_CPP_MIN_LOG_LEVEL=0."""
    if "tensorflow" in sys.modules or os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        return
    try:
        kept = os.dup(2)
    except OSError:  # a process without an error stream has no greetings either
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        import tensorflow  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
