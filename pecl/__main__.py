"""`python -m pecl`."""

import sys

from pecl.cli import main

sys.exit(main())
