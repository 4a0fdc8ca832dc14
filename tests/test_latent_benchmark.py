"""The table of latent spaces says what the records say, and makes do with those that are there."""

import json

import numpy as np
import pytest

from benchmarks.latent_space import angle_error_deg, write_table

HARDWARE = {"hardware": {"processor": "Abacus", "cores": 2}, "date": "2026-01-02"}
PICTURES = {"pictures": {"training": 30, "held_out": 20}}
FIGURES = {"model": "β-VAE, β = 4", "kl": None, "mig": 0.1234, "r angle_deg": 0.5}
RECORDS = {
    "digits": {
        "nearest_neighbour_of_pixels": 0.98,
        "nearest_neighbour_of_8_principal_components": 0.96,
        "planes": [{"shows_every_digit": True}, {"shows_every_digit": False}],
        "models": [
            {
                "seed": 3,
                "nearest_neighbour_after_epochs": {"20": 0.951, "60": 0.967},
                "active_units": 8,
                "held_out": {"elbo": -80.46},
                "seconds": 50.6,
            }
        ],
    },
    "particles": {
        "epochs": 30,
        "models": [
            {
                "model": "plain",
                "seed": 0,
                "r_diameter": 0.991,
                "r_aspect_ratio": 0.41,
                "r_angle": 0.82,
                "active_units": 4,
                "seconds": 61,
            },
            {
                "model": "rotation-invariant",
                "seed": 0,
                "r_diameter": 0.992,
                "r_aspect_ratio": 0.98,
                "r_angle": 0.03,
                "angle_error_deg": {"median": 2.71},
                "active_units": 2,
                "seconds": 99,
            },
        ],
    },
    "compare": {"epochs": 30, "seed": 0, "models": [{"figures": FIGURES, "seconds": 12.3}]},
}


def table(folder, *names):
    for name in names:
        record = {**PICTURES, **RECORDS[name], **HARDWARE}
        (folder / f"latent_{name}.json").write_text(json.dumps(record), encoding="utf-8")
    return write_table(folder).read_text(encoding="utf-8")


def test_all_records_are_in_the_table(tmp_path):
    text = table(tmp_path, *RECORDS)
    for row in (
        "| 3 | 0.951 | 0.967 | 8 | -80.5 | 51 |",
        "| plain | 0 | 0.991 | 0.410 | 0.820 | – | 4 | 61 |",
        "| rotation-invariant | 0 | 0.992 | 0.980 | 0.030 | 2.7 | 2 | 99 |",
        "| β-VAE, β = 4 | – | 0.123 | 0.500 | 12 |",
    ):
        assert row in text
    assert "with 1 of 2 seeds" in text
    assert text.endswith("Measured on: Abacus, 2 cores, 2026-01-02.\n")


@pytest.mark.parametrize("name", RECORDS)
def test_every_row_has_as_many_cells_as_its_head(tmp_path, name):
    rows = [row for row in table(tmp_path, name).splitlines() if row.startswith("|")]
    assert len(rows) >= 3
    assert {row.replace("\\|", "").count("|") for row in rows} == {
        rows[0].replace("\\|", "").count("|")
    }


def test_records_that_are_not_there_are_left_out(tmp_path):
    text = table(tmp_path, "compare")
    assert "β-VAE" in text
    assert "Handwritten digits" not in text


def test_angles_are_compared_modulo_a_half_turn_and_a_common_offset():
    true = np.deg2rad(np.arange(0.0, 180, 10))
    assert angle_error_deg(true + np.pi + 0.7, true)["median"] == pytest.approx(0, abs=1e-9)
    off = true.copy()
    off[:9] += np.deg2rad(10)
    found = angle_error_deg(off, true)
    assert found["median"] == pytest.approx(5)
    assert found["within_15"] == 1
