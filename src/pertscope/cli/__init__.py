"""The command line, for people who have files and no Python: ``pertscope evaluate``."""

from pertscope.cli._main import main

__all__ = ["main"]
