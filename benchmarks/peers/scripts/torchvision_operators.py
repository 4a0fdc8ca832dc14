"""Makes torchvision importable where its compiled operators do not fit the PyTorch that is there.

PyPI has torchvision compiled for PyTorch with CUDA alone; beside the processor's PyTorch its
library does not load, and its Python part stops at two operators that it asks for by name. The
networks here use neither, so naming them is enough.
"""

from __future__ import annotations


def ensure() -> None:
    """Imports torchvision; to be called before the import of what needs it."""
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        import torch

        schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", schema)
        import torchvision  # noqa: F401
