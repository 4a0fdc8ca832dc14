"""``python -m temzoo``."""

from temzoo.cli import main

main()
