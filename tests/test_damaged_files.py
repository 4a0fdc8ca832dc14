"""Valid files are read, damaged ones are refused: a few of those that `make fuzz` tries."""

import pytest
from fuzz_readers import READERS, attempt, changed_input, seeds_of

INPUTS = 25


@pytest.mark.parametrize("name", READERS)
def test_valid_files_are_read_and_damaged_ones_read_or_refused(name, tmp_path):
    seeds = seeds_of(name)
    for number, files in enumerate(seeds):
        assert attempt(name, files, tmp_path / f"valid-{number}") == "read"
    outcomes = [
        attempt(name, changed_input(name, index, seeds), tmp_path / str(index))
        for index in range(INPUTS)
    ]
    assert set(outcomes) <= {"read", "refused"}


def test_a_problem_is_seen(tmp_path, monkeypatch):
    """What raises otherwise, or does not name the file, counts as a problem."""

    def raising(error):
        def read(path):
            raise error

        return read

    for error, told in ((KeyError("a"), "uncaught"), (ValueError("?"), "unnamed")):
        monkeypatch.setitem(READERS, "names", READERS["names"].__class__(raising(error), ()))
        assert attempt("names", {"a.csv": b""}, tmp_path).startswith(told)
