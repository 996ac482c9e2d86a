"""``python -m xpander_track``."""

import sys

from .cli import main

sys.exit(main())
