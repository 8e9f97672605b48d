"""Compounds by the substructures of their molecules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pertscope._core.messages import listed
from pertscope.tl._embedding_table import embedding_table, tell_left_out

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KINDS = ("maccs", "topological", "ecfp", "secfp", "avalon", "erg")
UNKNOWN = ("refuse", "leave_out")


def embed_fingerprints(
    smiles: Mapping[str, str] | pd.Series,
    kind: str = "ecfp",
    *,
    n_bits: int = 2048,
    radius: int | None = None,
    unknown: str = "refuse",
) -> pd.DataFrame:
    """Describe compounds by a molecular fingerprint, computed by RDKit.

    ==============  ==================================================  ============
    kind            a value says                                        columns
    ==============  ==================================================  ============
    "maccs"         is the MACCS structural key there                   167
    "topological"   is a path of up to 7 bonds there                    ``n_bits``
    "ecfp"          is a circular neighbourhood of an atom there        ``n_bits``
    "secfp"         the same, of its SMILES, and rings                  ``n_bits``
    "avalon"        is a feature of the Avalon toolkit there            ``n_bits``
    "erg"           how often pharmacophore pairs lie so far apart      315
    ==============  ==================================================  ============

    All but "erg" are 0 or 1. Salts and stereochemistry are taken as they are written.

    Parameters
    ----------
    smiles
        Compound -> its SMILES.
    kind
        See above.
    n_bits
        Columns that substructures are hashed to, where they are.
    radius
        Bonds that a neighbourhood reaches from its atom, for "ecfp" and "secfp". ``None`` is
        RDKit's usual one: 2 (ECFP4, which is named by its diameter) and 3 (SECFP6).
    unknown
        What is done with compounds whose SMILES is missing or not understood: ``"refuse"`` them, or
        ``"leave_out"``: they get no row, and a warning names them.

    Returns
    -------
    float32 ``(compounds, columns)``, for :func:`pertscope.pp.add_perturbation_embedding`. Compounds
    that are the same molecule under several names stay, and a warning names them: one of them in
    training and one in test would be no unseen perturbation.

    Raises
    ------
    ImportError
        If RDKit is not installed.
    ValueError
        If a SMILES is missing or not understood, a compound is there twice, or `kind`, `n_bits`,
        `radius` or `unknown` is out of range.

    References
    ----------
    Rogers and Hahn, J. Chem. Inf. Model. 50 (2010), ECFP; Probst and Reymond, J. Cheminform. 10
    (2018), SECFP; Stiefl et al., J. Chem. Inf. Model. 46 (2006), ErG; https://www.rdkit.org.

    Examples
    --------
    >>> import pertscope as ps
    >>> ps.tl.embed_fingerprints({"aspirin": "CC(=O)Oc1ccccc1C(=O)O"}, "maccs").shape
    (1, 167)
    """
    if kind not in KINDS:
        raise ValueError(f"`kind`={kind!r} must be one of {list(KINDS)}.")
    if unknown not in UNKNOWN:
        raise ValueError(f"`unknown`={unknown!r} must be one of {list(UNKNOWN)}.")
    if n_bits < 1:
        raise ValueError(f"`n_bits`={n_bits} must be at least 1.")
    if radius is not None and (radius < 0 or kind not in ("ecfp", "secfp")):
        raise ValueError(f"`radius`={radius} must be zero or above, and goes with ecfp and secfp.")
    try:
        from rdkit import Chem, rdBase
    except ImportError as error:
        raise ImportError(
            "`embed_fingerprints` needs RDKit: `pip install 'pertscope[chem]'`."
        ) from error
    with rdBase.BlockLogs():  # what is not understood is told here
        molecules = {str(name): _molecule(text) for name, text in smiles.items()}
        if len(molecules) < len(smiles):
            names = pd.Index([str(name) for name, _ in smiles.items()])
            twice = names[names.duplicated()].unique()
            raise ValueError(f"{len(twice)} compound(s) occur more than once: {listed(twice)}.")
        lost = [name for name, molecule in molecules.items() if molecule is None]
        found = {name: molecule for name, molecule in molecules.items() if molecule is not None}
        if lost and (unknown == "refuse" or not found):
            raise ValueError(
                f"{len(lost)} of {len(molecules)} compound(s) have no SMILES that RDKit "
                f'understands: {listed(lost)}. Mend them, or pass `unknown="leave_out"`.'
            )
        tell_left_out(lost, "RDKit does not understand their SMILES")
        _tell_same({name: Chem.MolToSmiles(molecule) for name, molecule in found.items()})
        fingerprint = _fingerprint(kind, n_bits, radius)
        return embedding_table(found, np.array([fingerprint(m) for m in found.values()]))


def _molecule(smiles: object) -> Any:
    """RDKit's molecule, ``None`` where there is none."""
    from rdkit import Chem

    known = isinstance(smiles, str) and smiles.strip()
    return Chem.MolFromSmiles(str(smiles).strip()) if known else None


def _tell_same(canonical: dict[str, str]) -> None:
    """Warn of compounds that are one molecule."""
    import warnings

    names = pd.Series(list(canonical), index=list(canonical.values()), dtype=object)
    groups = [" = ".join(g) for _, g in names.groupby(level=0, sort=False) if len(g) > 1]
    if groups:
        warnings.warn(
            f"{len(groups)} molecule(s) have several names: {listed(groups)}. One label each keeps "
            "a molecule from being both in training and in test.",
            stacklevel=3,
        )


def _fingerprint(kind: str, n_bits: int, radius: int | None) -> Callable[[Any], np.ndarray]:
    """Function of a molecule that gives its fingerprint, ``(columns,)``."""
    from rdkit.Chem import (
        rdFingerprintGenerator,
        rdMHFPFingerprint,
        rdMolDescriptors,
        rdReducedGraphs,
    )

    if kind == "maccs":
        return lambda m: _array(rdMolDescriptors.GetMACCSKeysFingerprint(m))
    if kind == "topological":
        return rdFingerprintGenerator.GetRDKitFPGenerator(fpSize=n_bits).GetFingerprintAsNumPy
    if kind == "ecfp":
        reach = 2 if radius is None else radius
        generator = rdFingerprintGenerator.GetMorganGenerator(radius=reach, fpSize=n_bits)
        return generator.GetFingerprintAsNumPy
    if kind == "secfp":
        reach = 3 if radius is None else radius
        encoder = rdMHFPFingerprint.MHFPEncoder(1, 0)  # permutations: of MHFP, not of SECFP
        # with rings, without stereochemistry, kekulised, from one bond: RDKit's defaults, all given
        # because it stops kekulising once `length` is
        return lambda m: _array(encoder.EncodeSECFPMol(m, reach, True, False, True, 1, n_bits))
    if kind == "avalon":
        from rdkit.Avalon import pyAvalonTools

        return lambda m: _array(pyAvalonTools.GetAvalonFP(m, nBits=n_bits))
    return rdReducedGraphs.GetErGFingerprint


def _array(bits: Any) -> np.ndarray:
    """RDKit's bit vector as numbers."""
    from rdkit.DataStructs import ConvertToNumpyArray

    values = np.zeros(bits.GetNumBits(), np.uint8)
    ConvertToNumpyArray(bits, values)
    return values
