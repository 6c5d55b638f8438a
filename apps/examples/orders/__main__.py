"""`python -m orders` plays the demo."""

from __future__ import annotations

import sys

from orders.demo import main

sys.exit(main())
