"""One browser for the tests of a file."""

import pytest
from headless_chromium import browser, find


@pytest.fixture(scope="module")
def tab():
    """A tab of headless Chromium."""
    program = find()
    if program is None:
        pytest.skip("there is no Chromium on this machine")
    with browser(program) as page:
        yield page
