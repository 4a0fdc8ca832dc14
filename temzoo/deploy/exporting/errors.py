"""The error of an export that failed its checks."""

from __future__ import annotations


class ExportError(RuntimeError):
    """An export did not answer as its model does, or could not be written; nothing was left."""
