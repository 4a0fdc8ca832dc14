"""What the tests of the benchmarks share: parsed command lines, and a small drawn dataset."""

import pytest

from benchmarks import __main__ as suite
from benchmarks.datasets import synthetic
from benchmarks.records import checked


@pytest.fixture
def measured(tmp_path):
    """Runs a command's ``main`` on a command line; gives its records, checked, and writes none."""

    def run(*words):
        arguments = suite.asked([*words, "--out", str(tmp_path)])
        module = suite._module(arguments.command)
        return [checked(record) for record in module.main(arguments) or ()]

    return run


@pytest.fixture(scope="session")
def drawn():
    """Two micrographs of 96 px to learn from, and three that judge."""
    return synthetic(train=2, val=3, size=96)
