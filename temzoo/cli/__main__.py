"""``python -m temzoo.cli``."""

from temzoo.cli import main

main()
