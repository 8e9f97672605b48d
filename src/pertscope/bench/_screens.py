"""The screen that the jobs of a run share."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING

from pertscope.bench._job import light_with_split
from pertscope.ev._task_screen import draw_split, prepared_screen

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

    from pertscope.bench._job import Job
    from pertscope.ev._tasks import Task


class Screens:
    """The screen of the job at hand, and of its task: made when they change."""

    def __init__(self, cache: Path | str | None) -> None:
        self._cache = cache
        self._task: Task | None = None
        self._drawn: tuple[int | None, AnnData] | None = None

    def of(self, job: Job) -> AnnData:
        """Prepared and split screen."""
        if self._task is not job.task:
            self._drawn = None  # one screen at a time
            self._prepared = prepared_screen(job.task, cache=self._cache)
            self._task = job.task
        if self._drawn is None or self._drawn[0] != job.split_seed:
            screen = light_with_split(self._prepared)
            with contextlib.redirect_stdout(io.StringIO()):  # summaries of splits
                draw_split(screen, job.task, job.split_seed)
            self._drawn = job.split_seed, screen
        return self._drawn[1]
