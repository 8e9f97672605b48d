"""``python -m pertscope`` is the command ``pertscope``."""

from __future__ import annotations

import sys

from pertscope.cli import main

if __name__ == "__main__":
    sys.exit(main())
