"""Fixed benchmark tasks, judged the same way for everyone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from pertscope import get, pp
from pertscope.ev._evaluate import evaluate
from pertscope.ev._task_screen import draw_split, light, prepared_screen
from pertscope.ev._tasks import as_task, read_tasks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData

    from pertscope.ev._tasks import Task


class Evaluator:
    """Judge predictions on a fixed task: one screen, one split, one set of metrics.

    A task is an entry of a YAML file. One of your own, for a file beside it::

        my-task:
          asks: What does a knock-out do in another line?
          dataset: my_screen.h5ad
          screen: {perturbation_key: gene, control: NT, covariate_keys: [line]}
          prepare:
            - normalize: {}
          split:
            split_transfer: {max_fraction: 0.3, seed: 0}
          metrics: [rmse_mean, cosine_rank_logfc]

    Parameters
    ----------
    task
        One of :meth:`list_tasks`; or a mapping with the fields of a task and its ``name``, whose
        ``dataset`` may also be a registered AnnData.
    seed
        Seed of the split, in place of the task's own.
    tasks
        YAML file with tasks of your own, in the format of the package's ``tasks.yaml``; they go
        before the package's of the same name.
    cache
        Folder of downloaded screens, as in :func:`pertscope.datasets.load`.
    registry
        YAML file with datasets of your own, as in :func:`pertscope.datasets.load`.

    Raises
    ------
    KeyError
        If there is no such task; the nearest names are given.
    ValueError
        If a task names a dataset, function, argument or metric that does not exist.

    References
    ----------
    Wu et al., PerturBench (2024), appendices A.5 and D.4.

    Examples
    --------
    >>> import pertscope as ps
    >>> task = ps.ev.Evaluator("norman19-combination")
    >>> train = task.screen[task.screen.obs["split"] == "train"]  # doctest: +SKIP
    >>> task.evaluate({"mine": prediction})  # doctest: +SKIP
    """

    def __init__(
        self,
        task: str | Mapping[str, Any],
        *,
        seed: int | None = None,
        tasks: Path | str | None = None,
        cache: Path | str | None = None,
        registry: Path | str | None = None,
    ) -> None:
        self.task: Task = as_task(task, tasks)
        self.task.check(registry)
        self._seed = seed
        self._cache, self._registry = cache, registry

    def __repr__(self) -> str:
        task = self.task
        return f"Evaluator({task.name!r}): {task.asks} [{task.dataset_name}, {task.split_name}]"

    @classmethod
    def list_tasks(cls, *, tasks: Path | str | None = None) -> pd.DataFrame:
        """List the tasks there are.

        Parameters
        ----------
        tasks
            YAML file with tasks of your own.

        Returns
        -------
        One row per task: ``task``, ``dataset``, ``split``, the function that splits, and ``asks``,
        the question.

        Examples
        --------
        >>> import pertscope as ps
        >>> "norman19-combination" in ps.ev.Evaluator.list_tasks()["task"].to_numpy()
        True
        """
        rows = [(t.name, t.dataset_name, t.split_name, t.asks) for t in read_tasks(tasks).values()]
        return pd.DataFrame(rows, columns=["task", "dataset", "split", "asks"])

    @cached_property
    def screen(self) -> AnnData:
        """The screen of the task, registered, prepared and split; made once.

        Names of cells or genes that occur twice are made unique by a number. Train on the cells
        with ``obs["split"]`` ``train`` and ``val``, predict the conditions of ``test``. What is
        changed here, such as genes dropped, changes what is judged.
        """
        adata = prepared_screen(self.task, cache=self._cache, registry=self._registry)
        draw_split(adata, self.task, self._seed)
        return adata

    def evaluate(
        self,
        predictions: Mapping[str, AnnData],
        *,
        metrics: str | Sequence[str] | None = None,
        floor: bool = True,
        ceiling: bool = True,
    ) -> pd.DataFrame:
        """Score predictions of the test conditions.

        Nothing is kept: calls do not see each other's predictions, and :attr:`screen` stays as it
        is.

        Parameters
        ----------
        predictions
            Predicted expression by name, as for :func:`pertscope.pp.add_prediction`.
        metrics
            Names of other metrics than the task's, as in :func:`pertscope.ev.evaluate`.
        floor
            Whether to give the score of the best uninformed guess.
        ceiling
            Whether to give the score that a replicate of the experiment would get.

        Returns
        -------
        The table of :func:`pertscope.get.scores`: one row per prediction, with mean, interval,
        number of conditions, floor, ceiling and normalised score of every metric. Metrics that need
        cells are empty for predictions that hold only means.

        Raises
        ------
        TypeError
            If `predictions` is no mapping of names to AnnData.
        ValueError
            If a prediction does not fit the screen; it is named.

        Warns
        -----
        UserWarning
            If a prediction lacks test conditions: its scores are over the others.

        Examples
        --------
        >>> import pertscope as ps
        >>> task = ps.ev.Evaluator("norman19-combination")
        >>> task.evaluate({"mine": prediction})["normalised"]  # doctest: +SKIP
        """
        if not isinstance(predictions, Mapping):
            raise TypeError(
                "`predictions` takes a mapping of names to AnnData, {'my model': prediction}, not "
                f"{type(predictions).__name__}."
            )
        judged = light(self.screen)
        for name, prediction in predictions.items():
            try:
                pp.add_prediction(judged, prediction, name)
            except (KeyError, TypeError, ValueError) as error:
                raise type(error)(f"prediction {name!r}: {error.args[0]}") from error
        evaluate(
            judged,
            metrics=self.task.metrics if metrics is None else metrics,
            floor=floor,
            ceiling=ceiling,
            **self.task.options,
        )
        return get.scores(judged)
