"""Arguments of ``pertscope bench``, and what it does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

BENCH = """\
Fit and judge models over seeds and splits of a task; print the table.

TASK is the name of a task of pertscope, or a YAML file of your own tasks. What FOLDER already holds
is not done again: a run that was stopped goes on from there, and several may share a folder.
"""


def add_bench(commands: Any, formatter: type[argparse.HelpFormatter]) -> None:
    """Add the command to the parser's commands."""
    bench = commands.add_parser(
        "bench", help="run models on a task", description=BENCH, formatter_class=formatter
    )
    bench.set_defaults(do=run_bench)
    bench.add_argument("task", metavar="TASK", help="name of a task, or TASKS.yaml")
    bench.add_argument("--models", nargs="+", required=True, metavar="MODEL", help="such as cpa")
    bench.add_argument("--seeds", type=int, default=3, metavar="N", help="0 to N - 1 (3)")
    bench.add_argument("--max-epochs", type=int, metavar="N", help="of all networks")
    bench.add_argument(
        "--form", choices=("markdown", "latex"), default="markdown", help="of the table (markdown)"
    )
    bench.add_argument(
        "-o", "--output", type=Path, default=Path("results"), metavar="FOLDER", help="(results)"
    )


def run_bench(arguments: argparse.Namespace) -> None:
    """Run, and print the table."""
    from pertscope.bench import run, to_text

    training = {} if arguments.max_epochs is None else {"max_epochs": arguments.max_epochs}
    scores = run(
        arguments.task,
        arguments.models,
        seeds=range(arguments.seeds),
        results=arguments.output,
        **training,
    )
    print(to_text(scores, form=arguments.form))
