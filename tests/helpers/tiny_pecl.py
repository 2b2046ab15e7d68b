"""`python -m helpers.tiny_pecl ...` is `pecl ...` with tiny towers, for programs that start Python themselves."""

import sys

import pecl.experiment.run
from helpers.small_experiment import tiny_towers
from pecl.cli import main

if __name__ == "__main__":
    pecl.experiment.run.load_towers = lambda *_: tiny_towers()
    sys.exit(main())
