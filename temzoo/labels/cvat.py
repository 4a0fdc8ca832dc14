"""The former place of ``temzoo.labels.formats.cvat``, kept for scripts."""

from temzoo.labels.formats.cvat import iterate, read
from temzoo.labels.formats.cvat_writing import write

__all__ = ["iterate", "read", "write"]
