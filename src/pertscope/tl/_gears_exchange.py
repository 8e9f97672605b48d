"""Hand a screen over to GEARS in a process of its own, and take its answer back."""

from __future__ import annotations

import codecs
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from pertscope._core.conditions import screen_conditions
from pertscope._core.keys import TRAIN, VAL
from pertscope._core.matrix import matrix_of, refuse_counts
from pertscope._core.messages import listed
from pertscope._core.splits import split_of
from pertscope.models.checks import require_positive
from pertscope.models.requests import control_means, control_rows, wanted_conditions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from pertscope._core.conditions import Conditions
    from pertscope._core.screen import Screen

SCRIPT = Path(__file__).parents[1] / "external" / "run_gears.py"
CONTROL = "ctrl"
KNOWN = {
    "gene_graph": ("preset", "screen"),
    "missing": ("error", "skip"),
    "accelerator": ("auto", "cpu", "gpu"),
}
TAIL = 4000
"""Characters of what the other process said that an error repeats."""


def check_settings(settings: dict[str, Any]) -> None:
    """Refuse settings that GEARS does not know."""
    for what, known in KNOWN.items():
        if settings[what] not in known:
            raise ValueError(f"`{what}`={settings[what]!r} is none of {listed(known)}.")
    require_positive(n_hidden=settings["n_hidden"], max_epochs=settings["max_epochs"])
    if settings["batch_size"] < 2:
        raise ValueError(f"`batch_size`={settings['batch_size']} must be at least 2.")


def write_request(
    adata: AnnData,
    screen: Screen,
    folder: Path,
    *,
    conditions: pd.DataFrame | Sequence[str] | None,
    settings: dict[str, Any],
) -> None:
    """Check what GEARS cannot do, then write ``cells.h5ad`` and ``request.json`` to `folder`.

    Cells are the train part and the perturbed cells of the val part, in the screen's order:
    nothing of the test part.
    """
    import anndata as ad

    refuse_counts(adata, screen.layer, "GEARS")
    observed = screen_conditions(adata, screen)
    part = split_of(adata, observed)
    wanted = wanted_conditions(conditions, observed, split=lambda: part)
    perturbed = ~observed.is_control[observed.codes]
    rows = np.flatnonzero((part == TRAIN) | ((part == VAL) & perturbed))
    used = observed.take(np.unique(observed.codes[rows]))
    _check_parts(observed, part, settings["batch_size"])
    context = _only_context(used, wanted)
    _check_perturbations(used, wanted)
    _check_doses(adata, screen, rows[perturbed[rows]])
    names = np.array([_gears_name(parts) for parts in observed.components], dtype=object)
    requested = [_gears_name(parts) for parts in wanted.components]
    x = matrix_of(adata, screen.layer)
    everywhere = control_rows(observed, context, None, np.random.default_rng(0))
    obs = pd.DataFrame(
        {
            "condition": pd.Categorical(names[observed.codes[rows]]),
            "cell_type": pd.Categorical(["_".join(context) or "cell"] * len(rows)),
            "split": pd.Categorical(part[rows]),
        },
        index=adata.obs_names[rows],
    )
    var = pd.DataFrame(
        {
            "gene_name": adata.var_names.to_numpy(dtype=object),
            "control_mean": control_means(x, [everywhere], adata.var_names)[0],
        },
        index=adata.var_names,
    )
    cells = x[rows]
    cells = cells.compute() if hasattr(cells, "compute") else cells
    cells = sp.csr_matrix(cells, dtype=np.float32)
    ad.AnnData(cells, obs=obs, var=var).write_h5ad(folder / "cells.h5ad")
    request = {
        "settings": settings,
        "conditions": [
            {"name": name, "condition": condition, "columns": columns}
            for name, condition, columns in zip(
                wanted.index, requested, wanted.table.to_dict("records"), strict=True
            )
        ],
    }
    (folder / "request.json").write_text(json.dumps(request, indent=1), encoding="utf-8")


def run_script(folder: Path, python: str | os.PathLike[str] | None, *, progress: bool) -> list[str]:
    """Run GEARS in `folder` under another interpreter; return the conditions that it left out.

    Raises
    ------
    ValueError
        If there is no such interpreter, or GEARS cannot do what was asked.
    RuntimeError
        If it failed; with the end of what it said.
    """
    interpreter = shutil.which(sys.executable if python is None else os.fspath(python))
    if interpreter is None:
        raise ValueError(f"`python`={str(python)!r} is no interpreter: give the path of one.")
    command = [interpreter, str(SCRIPT), str(folder)]
    status, said = _run(command, progress=progress)
    path = folder / "report.json"
    report = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if report.get("refused"):
        raise ValueError(report["refused"])
    if status != 0:
        hint = (
            "\nInstall what it lacks (`pip install 'pertscope[gears]'`), or pass `python=`, the "
            "interpreter of an environment that has it."
            if "No module named" in said
            else ""
        )
        raise RuntimeError(
            f"GEARS ended with status {status}. The end of what it said:\n{said}{hint}"
        )
    return report["left_out"]


def _run(command: list[str], *, progress: bool) -> tuple[int, str]:
    """Exit status, and the end of what was said, which is shown meanwhile if `progress`."""
    decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
    said = ""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            while chunk := os.read(process.stdout.fileno(), 65536):  # type: ignore[union-attr]
                text = decode(chunk)
                said = (said + text)[-TAIL:]
                if progress:
                    sys.stderr.write(text)
                    sys.stderr.flush()
        except BaseException:
            process.kill()
            raise
    return process.returncode, said


def _gears_name(parts: tuple[str, ...]) -> str:
    """GEARS's name of a condition: ``"A+ctrl"``, ``"A+B"``, ``"ctrl"``."""
    return "+".join([*parts, CONTROL] if len(parts) == 1 else parts) or CONTROL


def _check_parts(observed: Conditions, part: np.ndarray, batch_size: int) -> None:
    """Refuse a split that GEARS cannot train on."""
    train, val = (
        np.bincount(observed.codes[part == p], minlength=len(observed)) for p in (TRAIN, VAL)
    )
    key = f"`.obs[{observed.screen.split_key!r}]`"
    perturbed = ~observed.is_control
    for name, n in ((TRAIN, train), (VAL, val)):
        if not n[perturbed].any():
            raise ValueError(f"{key} has no perturbed cells in {name!r}, which GEARS needs.")
    both = perturbed & (train > 0) & (val > 0)
    if both.any():
        raise ValueError(
            f"GEARS splits by condition; {int(both.sum())} have cells in 'train' and in 'val': "
            f"{listed(observed.index[both])}."
        )
    few = (train + val * perturbed) == 1
    if few.any():
        raise ValueError(
            "GEARS tests every condition for differential expression, which takes two cells; one "
            f"cell have {listed(observed.index[few])}: drop them."
        )
    if not train[~perturbed].any():
        raise ValueError(f"{key} has no control cells in 'train', which GEARS needs.")
    if train.sum() < batch_size:
        raise ValueError(
            f"the train part has {int(train.sum())} cells, fewer than a batch: lower "
            f"`batch_size`={batch_size}."
        )


def _only_context(used: Conditions, wanted: Conditions) -> tuple[str, ...]:
    """Combination of covariates that all conditions share."""
    contexts = sorted({*used.contexts, *wanted.contexts})
    if len(contexts) > 1:
        raise ValueError(
            f"GEARS knows no covariates, the screen has {len(contexts)} combinations of "
            f"{listed(used.screen.covariate_keys)}: {listed('|'.join(c) for c in contexts)}. "
            "Fit it to a screen of one at a time."
        )
    return contexts[0]


def _check_perturbations(*tables: Conditions) -> None:
    """Refuse perturbations that GEARS has no name for."""
    for conditions in tables:
        too_many = [len(c) > 2 for c in conditions.components]
        if any(too_many):
            raise ValueError(
                "GEARS applies one perturbation or two at once, no more: "
                f"{listed(conditions.index[too_many])}."
            )
        bad = {p for c in conditions.components for p in c if "+" in p or p == CONTROL}
        if bad:
            raise ValueError(
                f"{listed(sorted(bad))} cannot be the name of a gene: GEARS writes combinations "
                f"with '+' and controls as {CONTROL!r}. Rename them, or register the screen with "
                "`combination_separator='+'`."
            )


def _check_doses(adata: AnnData, screen: Screen, rows: np.ndarray) -> None:
    """Refuse several doses."""
    if screen.dose_key is None:
        return
    doses = np.unique(adata.obs[screen.dose_key].to_numpy()[rows])
    if len(doses) > 1:
        raise ValueError(
            f"GEARS knows no doses, `.obs[{screen.dose_key!r}]` holds {len(doses)}: "
            f"{listed(doses)}. Fit it to a screen of one dose at a time."
        )
