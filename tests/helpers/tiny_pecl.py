"""`python -m helpers.tiny_pecl ...` is `pecl ...` with tiny towers, for programs that start Python themselves."""

import sys

from helpers.small_experiment import use_towers
from pecl.cli import main

if __name__ == "__main__":
    use_towers()
    sys.exit(main())
