"""What latent numbers know: angles modulo a half turn, and each measurement at a tiny size."""

import numpy as np
import pytest

from benchmarks import latent
from benchmarks.latent import angle_error_deg
from benchmarks.page import shown


def test_angles_are_compared_modulo_a_half_turn_and_a_common_offset():
    true = np.deg2rad(np.arange(0.0, 180, 10))
    assert angle_error_deg(true + np.pi + 0.7, true) == pytest.approx(0, abs=1e-9)
    off = true.copy()
    off[:9] += np.deg2rad(10)
    assert angle_error_deg(off, true) == pytest.approx(5)


def test_digits_particles_and_models_are_measured(monkeypatch, measured):
    small = {"filters": 4, "depth": 1}
    monkeypatch.setattr(latent, "DIGITS", {**latent.DIGITS, **small})
    monkeypatch.setattr(latent, "PARTICLES", {"latent_dim": 2, "image_size": 16, **small})
    for name, value in (("DIGIT_EPOCHS", (1, 1)), ("EPOCHS", 1)):
        monkeypatch.setattr(latent, name, value)
    for name, value in (("COUNT", 40), ("COMPARE_COUNT", 40)):
        monkeypatch.setattr(latent, name, value)
    monkeypatch.setattr(latent, "COMPARED", {"VAE": ("vae", latent.MODELS["plain"])})
    digits, particles, compared = measured(
        "latent", "digits", "particles", "compare", "--seeds", "0"
    )
    scores = digits["figures"]["models"][0]["nearest_neighbour_after_epochs"]
    assert [*scores] == [1, 2]
    rows = {m["model"]: m for m in particles["figures"]["models"]}
    assert [*rows] == [*latent.MODELS]
    assert "angle_error_deg" in rows["rotation-invariant"]
    assert "angle_error_deg" not in rows["plain"]
    assert compared["command"] == "python -m benchmarks latent compare --seeds 0"
    assert any(line.startswith("| VAE | 2 |") for line in shown(compared))
