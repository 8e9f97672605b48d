"""cell-eval as an oracle: run quietly, in a folder that is gone afterwards."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from typing import TYPE_CHECKING

import numba
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterator

    import anndata as ad

SLOW = ("clustering_agreement", "pearson_edistance")


def run_cell_eval(
    predicted: ad.AnnData,
    observed: ad.AnnData,
    *,
    perturbation_key: str,
    control: str,
    profile: str = "full",
    predicted_tests: pd.DataFrame | None = None,
    observed_tests: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """cell-eval's scores: one row per perturbation (sorted), one column per metric.

    Both sides hold log-normalised cells and their controls. `profile` ("full", "de" for tests of
    genes, "anndata" for the rest) chooses the metrics, less two slow ones. Tests (columns `target`,
    `feature`, `log2_fold_change`, `p_value`, `fdr`) may be given in place of cell-eval's own.
    """
    with _quiet(), tempfile.TemporaryDirectory() as folder:
        import polars as pl
        from cell_eval import MetricsEvaluator

        evaluator = MetricsEvaluator(
            adata_pred=predicted.copy(),
            adata_real=observed.copy(),
            de_pred=None if predicted_tests is None else _polars(predicted_tests, pl),
            de_real=None if observed_tests is None else _polars(observed_tests, pl),
            control_pert=control,
            pert_col=perturbation_key,
            num_threads=1,
            outdir=folder,
            skip_de=profile == "anndata",
        )
        scores, _ = evaluator.compute(
            profile=profile, skip_metrics=list(SLOW), write_csv=False, break_on_error=True
        )
        table = pd.DataFrame(scores.to_dict(as_series=False))
    return table.set_index("perturbation").sort_index().astype(float)


def _polars(table: pd.DataFrame, pl):
    return pl.DataFrame({name: table[name].to_numpy() for name in table})


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No warning, log line or progress bar; and the threads of numba as they were."""
    n_threads = numba.get_num_threads()
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stderr(io.StringIO()),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        numba.set_num_threads(n_threads)
