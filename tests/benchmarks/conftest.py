"""What the tests of the benchmarks share: parsed command lines, and a small drawn dataset."""

import pytest

from benchmarks import __main__ as suite
from benchmarks.commands import asked
from benchmarks.datasets import synthetic


@pytest.fixture
def measured(tmp_path):
    """Runs a command; gives its records, checked, and writes none."""
    return lambda *words: [*suite.measured(asked([*words, "--out", str(tmp_path)]))]


@pytest.fixture(scope="session")
def drawn():
    """Two micrographs of 96 px to learn from, and three that judge."""
    return synthetic(train=2, val=3, size=96)
