"""Time of ``import pertscope`` in a fresh process, against ``import anndata``.

Run with ``python benchmarks/bench_import.py``.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

from _timing import seconds

N = 5


def main() -> None:
    """Import each in processes of their own, less the time of starting Python."""
    times = {
        code: statistics.median(
            seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True))  # noqa: B023
            for _ in range(N)
        )
        for code in ("pass", "import pertscope", "import anndata")
    }
    for code in ("import pertscope", "import anndata"):
        print(f"{code}: {times[code] - times['pass']:.3f} s")


if __name__ == "__main__":
    main()
