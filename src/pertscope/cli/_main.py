"""Arguments of the command line; the work is done in other files, imported when it is asked for."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pertscope._version import __version__
from pertscope.cli._bench import add_bench

if TYPE_CHECKING:
    from collections.abc import Sequence

OK, REFUSED = 0, 2
PARTS = ("test", "val", "train", "all")
TOOLS = ("cell-eval", "perturbench", "perturbench-v1")

EVALUATE = """\
Judge predictions of a perturbation screen, and write a page that anyone can read.

SCREEN.h5ad holds the observed cells with their controls, each PREDICTION.h5ad the predicted
expression of the same genes on the log scale: one row per condition (its mean) or many (predicted
cells), with the same columns that say perturbation and covariates. Counts in SCREEN are normalised
first. A screen that was registered with pertscope needs no options.

Files are read into memory whole: the machine must hold the screen, and while counts are normalised
twice that.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv
        Arguments after the name of the program; ``None`` takes those it was started with.

    Returns
    -------
    0, or 2 after a message on stderr if something was wrong with the arguments or the files.
    """
    arguments = _parser().parse_args(argv)
    os.environ.setdefault("MPLBACKEND", "Agg")  # no window, even where there could be one
    try:
        arguments.do(arguments)
    except (OSError, KeyError, TypeError, ValueError) as error:
        print(f"pertscope: error: {_one_line(error)}", file=sys.stderr)
        return REFUSED
    return OK


def _evaluate(arguments: argparse.Namespace) -> None:
    from pertscope.cli._judgement import judge_files
    from pertscope.cli._report import write_report

    folder = arguments.output.absolute().parent
    if not folder.is_dir():
        raise NotADirectoryError(f"there is no folder {folder} to write the report to.")
    judgement = judge_files(arguments)
    paths = write_report(judgement, arguments.output)
    for message in judgement.warnings:
        print(f"pertscope: warning: {message}", file=sys.stderr)
    print(judgement.scores["mean"].T.to_string(float_format="{:.4g}".format))
    print("\n" + "\n".join(map(str, paths)))


def _one_line(error: Exception) -> str:
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    said = str(text).replace("control='observed'", "--against observed")  # as it is called here
    return " ".join(said.split()) or type(error).__name__


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pertscope",
        description="Perturbation screens: judge predictions from files, run benchmarks.",
    )
    parser.add_argument("--version", action="version", version=f"pertscope {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    evaluate = commands.add_parser(
        "evaluate",
        help="judge predictions, write a report",
        description=EVALUATE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    evaluate.add_argument("screen", type=Path, metavar="SCREEN.h5ad", help="observed cells")
    evaluate.add_argument(
        "predictions", type=Path, nargs="+", metavar="PREDICTION.h5ad", help="predicted expression"
    )
    evaluate.set_defaults(do=_evaluate)
    _add_columns(evaluate)
    _add_choices(evaluate)
    add_bench(commands, argparse.RawDescriptionHelpFormatter)
    return parser


def _add_columns(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "what the columns mean", "by default as registered in the file"
    )
    group.add_argument(
        "--perturbation-key", metavar="COLUMN", help="perturbation of a cell (perturbation)"
    )
    group.add_argument("--control", metavar="LABEL", help="its label for no perturbation (control)")
    group.add_argument(
        "--covariate-keys", nargs="*", metavar="COLUMN", help="cell type, treatment ... (none)"
    )
    group.add_argument(
        "--combination-separator",
        metavar="TEXT",
        help='what joins perturbations applied together (+); "none" where labels hold it otherwise',
    )
    group.add_argument("--layer", help="layer of SCREEN with the expression (X)")
    group.add_argument("--split-key", metavar="COLUMN", help="train, val or test (split)")


def _add_choices(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is judged, and how")
    group.add_argument(
        "--split",
        choices=PARTS,
        help="part to judge: test, or all conditions where SCREEN has no split",
    )
    group.add_argument(
        "--name", nargs="+", metavar="NAME", help="names of the predictions (those of the files)"
    )
    group.add_argument(
        "--metrics",
        nargs="+",
        metavar="METRIC",
        help="such as rmse_mean cosine_rank_logfc (about twenty, of all kinds)",
    )
    group.add_argument("--compat", choices=TOOLS, help="metrics and conventions of that tool")
    group.add_argument(
        "--against",
        choices=("observed", "own"),
        help="controls that predictions are compared with (observed; own for cell-eval)",
    )
    group.add_argument("--no-floor", action="store_true", help="no score of an uninformed guess")
    group.add_argument("--no-ceiling", action="store_true", help="no score of a replicate")
    group.add_argument("--seed", type=int, default=0, help="of halves and permutations (0)")
    group.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("report.html"),
        metavar="REPORT.html",
        help="page to write (report.html); *_scores.csv and *_conditions.csv go beside it",
    )
