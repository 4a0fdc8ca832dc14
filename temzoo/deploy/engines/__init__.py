"""Trained models in other engines and precisions, for machines without a GPU.

network.py      the part of a model that an engine runs, and pictures to calibrate it on
makers.py       engine and precision → that network as a function of arrays
accelerated.py  ``accelerate``, and what ``predict``, ``evaluate`` and ``restore`` take for a model
choice.py       ``auto``: the fastest that answers as well as float32 does, and its memory
"""

from temzoo.deploy.engines.accelerated import AcceleratedModel, accelerate

__all__ = ["AcceleratedModel", "accelerate"]
