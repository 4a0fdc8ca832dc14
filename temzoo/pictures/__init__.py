"""Overlays, sheets and plots. They draw what was computed elsewhere."""

from temzoo.pictures.colours import error_legend
from temzoo.pictures.overlays import error_overlay, match_overlay, outlines, overlay, stretched
from temzoo.pictures.plots import plot_history, plot_iou
from temzoo.pictures.sheets import Panel, sheet

__all__ = [
    "Panel",
    "error_legend",
    "error_overlay",
    "match_overlay",
    "outlines",
    "overlay",
    "plot_history",
    "plot_iou",
    "sheet",
    "stretched",
]
