"""Load a public perturbation screen."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from pertscope.datasets._fetch import cache_folder, fetch
from pertscope.datasets._registry import Entry, find_entry, read_registry
from pertscope.datasets._rules import apply_rules

if TYPE_CHECKING:
    from pathlib import Path

OPTIONAL_KEYS = ("batch_key", "dose_key")


def load(
    name: str,
    *,
    backed: bool = False,
    cache: Path | str | None = None,
    progress: bool = True,
    registry: Path | str | None = None,
) -> AnnData:
    """Load a public perturbation screen, downloading it the first time.

    The file is kept in the cache, checked against its published checksum every time, and its
    annotation brought to the names that ``adata.uns["screen_keys"]`` holds: combinations are
    written ``A+B``, controls ``control``. A column that this overwrites stays as
    ``"<column>_original"``. Cells whose guide was not called, or of another line than the screen's,
    are left out of the few files that hold such.

    Parameters
    ----------
    name
        One of :func:`~pertscope.datasets.names`.
    backed
        Leave the matrix on disk. The annotation is in memory; the file is not changed. Not for
        the few screens of which cells are left out.
    cache
        Folder of the downloaded files. ``None`` is ``$PERTSCOPE_CACHE`` or, without it, the
        user's cache folder for pertscope. A file put there by hand is used.
    progress
        Show a progress bar while downloading, if tqdm is installed.
    registry
        YAML file with entries of your own, in the format of the package's ``registry.yaml``;
        ``None`` is the package's.

    Returns
    -------
    The screen, not yet registered: ``ps.pp.register(adata, **adata.uns["screen_keys"])``.
    ``X`` is CSR in memory if the file's is sparse, and holds counts or ``log1p(CP10k)``, as
    ``uns["dataset"]["matrix"]`` says; ``uns["dataset"]`` also holds name, description, citation,
    license, url and checksum.

    Raises
    ------
    KeyError
        If no dataset has this name, or the file lacks a column that the registry promises.
    ConnectionError
        If the file is not in the cache and cannot be downloaded; the message says where to put it.
    ValueError
        If the file does not have its checksum, or cells would be dropped from a backed one.

    Warns
    -----
    UserWarning
        If no checksum is known for the file, or it lacks an optional column such as the batch.

    Notes
    -----
    Files are those of scPerturb [1]_ and PerturBench [2]_; please cite the study itself, which
    ``uns["dataset"]["citation"]`` names, as well.

    References
    ----------
    .. [1] Peidli et al. 2024, scPerturb: harmonized single-cell perturbation data, Nat. Methods.
    .. [2] Wu et al. 2024, PerturBench, arXiv:2408.10609.

    Examples
    --------
    >>> import pertscope as ps
    >>> adata = ps.datasets.load("norman19")  # doctest: +SKIP
    >>> ps.pp.register(adata, **adata.uns["screen_keys"])  # doctest: +SKIP
    """
    entry = find_entry(read_registry(registry), name)
    path = fetch(entry, cache_folder(cache), progress=progress)
    adata = ad.read_h5ad(path, backed="r" if backed else None)
    try:
        obs, keep = apply_rules(adata.obs, entry.rules)
        screen_keys = _present_keys(entry, obs.columns)
    except KeyError as error:
        raise KeyError(f"dataset {name!r} ({path}): {error.args[0]}") from error
    if backed and not keep.all():
        raise ValueError(
            f"dataset {name!r} is used without {int((~keep).sum())} of its cells, which cannot be "
            "dropped from a file: load it with `backed=False`."
        )
    adata.obs = obs
    adata.uns["screen_keys"] = screen_keys
    adata.uns["dataset"] = _facts(entry)
    if not keep.all():
        adata = adata[np.flatnonzero(keep)].copy()
    if not backed and sp.issparse(adata.X) and adata.X.format != "csr":
        adata.X = adata.X.tocsr()
    return adata


def _present_keys(entry: Entry, columns: Any) -> dict[str, Any]:
    """Arguments for ``pp.register`` whose columns exist; optional ones may be missing."""
    screen = {k: v for k, v in entry.screen.items() if v is not None or "separator" in k}
    needed = [screen["perturbation_key"], *screen["covariate_keys"]]
    missing = [column for column in needed if column not in columns]
    if missing:
        raise KeyError(f"no column {missing} in obs; columns: {', '.join(map(str, columns))}.")
    for key in OPTIONAL_KEYS:
        if key in screen and screen[key] not in columns:
            warnings.warn(
                f"dataset {entry.name!r} has no column {screen[key]!r}; `{key}` is left out.",
                UserWarning,
                stacklevel=3,
            )
            del screen[key]
    return screen


def _facts(entry: Entry) -> dict[str, str]:
    """What to keep with the screen about where it came from."""
    facts = ("name", "description", "citation", "doi", "license", "url", "checksum", "matrix")
    return {k: str(getattr(entry, k)) for k in facts if getattr(entry, k) is not None}
