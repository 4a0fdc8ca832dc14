"""What latent numbers know: each measurement at a tiny size."""

from benchmarks import latent
from benchmarks.page import shown


def test_digits_and_models_are_measured(monkeypatch, measured):
    small = {"filters": 4, "depth": 1}
    monkeypatch.setattr(latent, "DIGITS", {**latent.DIGITS, **small})
    monkeypatch.setattr(latent, "PARTICLES", {"latent_dim": 2, "image_size": 16, **small})
    for name, value in (("DIGIT_EPOCHS", 2), ("EPOCHS", 1)):
        monkeypatch.setattr(latent, name, value)
    for name, value in (("COUNT", 40), ("COMPARE_COUNT", 40)):
        monkeypatch.setattr(latent, name, value)
    monkeypatch.setattr(latent, "COMPARED", {"VAE": ("vae", latent.PLAIN)})
    digits, compared = measured("latent", "digits", "compare", "--seeds", "0")
    scores = digits["figures"]["models"][0]["nearest_neighbour_after_epochs"]
    assert [*scores] == [2]
    assert compared["command"] == "python -m benchmarks latent compare --seeds 0"
    assert any(line.startswith("| VAE | 2 |") for line in shown(compared))
