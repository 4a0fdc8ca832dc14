"""``python -m temzoo``."""

import sys

from temzoo.cli import main

sys.argv[0] = "temzoo"  # as runs, reports and messages record what was typed
main()
