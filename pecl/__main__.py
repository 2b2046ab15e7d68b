"""`python -m pecl`."""

import sys

from pecl.commands.main import main

sys.exit(main())
