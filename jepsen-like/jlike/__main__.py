"""`python -m jlike`: the same as the command."""

from __future__ import annotations

import sys

from jlike.cli import main

sys.exit(main())
