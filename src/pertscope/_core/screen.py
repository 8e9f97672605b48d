"""What the columns of a screen mean.

The only reader and writer of ``uns["pertscope"]["screen"]``.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from pertscope._core import keys

if TYPE_CHECKING:
    from anndata import AnnData

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Screen:
    """Keys, labels and layer of a registered screen.

    Build it with :func:`pertscope.pp.register` and read it with :meth:`Screen.of`.
    """

    perturbation_key: str = "perturbation"
    control: str = "control"
    covariate_keys: tuple[str, ...] = ()
    batch_key: str | None = None
    dose_key: str | None = None
    combination_separator: str | None = "+"
    split_key: str = "split"
    layer: str | None = None
    schema_version: int = SCHEMA_VERSION

    @property
    def condition_keys(self) -> list[str]:
        """Columns that together name a condition: the covariates, then the perturbation."""
        return [*self.covariate_keys, self.perturbation_key]

    def components(self, label: str) -> tuple[str, ...]:
        """Perturbations that `label` applies, sorted; none for the control.

        A control inside a combination (``"A+control"``) is no perturbation, nor is a part of a
        control that is one itself: under the control ``"NT+NT"``, ``"A+NT"`` applies A.
        """
        if label == self.control:
            return ()
        if not self.combination_separator:
            return (label,)
        parts, of_control = (
            {part.strip() for part in text.split(self.combination_separator)} - {""}
            for text in (label, self.control)
        )
        return tuple(sorted(parts - of_control)) if parts else (label,)

    @classmethod
    def of(cls, adata: AnnData) -> Screen:
        """Read the screen that was registered in `adata`.

        Raises
        ------
        KeyError
            If `adata` was not registered, or lost its ``uns`` since.
        ValueError
            If it was registered by a newer, incompatible pertscope.
        """
        require_anndata(adata)
        entry = adata.uns.get(keys.UNS, {}).get(keys.SCREEN)
        if entry is None:
            raise KeyError(
                "this AnnData is not registered as a screen: call "
                "`ps.pp.register(adata, perturbation_key=..., control=...)` first. "
                "(`anndata.concat` drops `.uns`: register the result again.)"
            )
        version = int(entry.get("schema_version", 0))
        if version != SCHEMA_VERSION:
            raise ValueError(
                f"the screen was registered under schema version {version}, this pertscope reads "
                f"version {SCHEMA_VERSION}: call `ps.pp.register` again."
            )
        values: dict[str, Any] = {f.name: None for f in fields(cls)}
        values.update({k: str(v) for k, v in entry.items() if k in values})
        values["covariate_keys"] = tuple(
            str(k) for k in np.atleast_1d(np.asarray(entry.get("covariate_keys", []), dtype=object))
        )
        values["schema_version"] = version
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Values as h5ad, zarr and JSON hold them: strings, integers, lists; ``None`` left out."""
        entry = {f.name: getattr(self, f.name) for f in fields(self)}
        entry["covariate_keys"] = list(self.covariate_keys)
        return {k: v for k, v in entry.items() if v is not None}

    def write(self, adata: AnnData) -> None:
        """Store the screen in ``adata.uns``."""
        adata.uns.setdefault(keys.UNS, {})[keys.SCREEN] = self.to_dict()


def require_anndata(adata: object) -> None:
    """Refuse anything but an AnnData, and say which one was meant."""
    from anndata import AnnData

    if isinstance(adata, AnnData):
        return
    if type(adata).__name__ == "MuData":
        raise TypeError(
            "expected an AnnData, got a MuData: pass one modality, e.g. `mdata['rna']`; "
            "what is written there stays in the MuData."
        )
    raise TypeError(f"expected an AnnData, got {type(adata).__name__}.")


def require_actual(adata: AnnData) -> None:
    """Turn a view into an AnnData of its own before it is written to, and say so.

    Writing into the nested ``uns`` of a view would silently change its parent.
    """
    if adata.is_view and adata.isbacked:
        raise ValueError(
            "received a view of an AnnData on disk, which cannot be written to: call "
            "`.to_memory()` or `.copy('new_file.h5ad')` on it first."
        )
    if adata.is_view:
        warnings.warn(
            "received a view of an AnnData: it becomes a copy of its own, its parent stays as it "
            "was. Call `.copy()` on the subset to do so yourself.",
            UserWarning,
            stacklevel=3,
        )
        adata._init_as_actual(adata.copy())
