"""Trained models in other engines and precisions, for machines without a GPU.

network.py      the part of a model that an engine runs, and pictures to calibrate it on
makers.py       engine and precision → that network, converted
runtime.py      what was converted → a function of arrays; without TensorFlow
model.py        what ``predict``, ``evaluate`` and ``restore`` take for a model
kept.py         converted networks on disk, with which ``temzoo predict`` starts fast
accelerated.py  ``accelerate``
choice.py       ``auto``: the fastest that answers as well as float32 does, and its memory
"""
