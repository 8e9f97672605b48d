"""Prepare a screen: say what its columns mean, normalise, select genes, split, add predictions."""

from pertscope.pp._add_perturbation_embedding import add_perturbation_embedding
from pertscope.pp._add_prediction import add_prediction
from pertscope.pp._normalize import normalize
from pertscope.pp._register import register
from pertscope.pp._select_features import select_features
from pertscope.pp._split_combinations import split_combinations
from pertscope.pp._split_custom import split_custom
from pertscope.pp._split_from_csv import split_from_csv
from pertscope.pp._split_inverse_combinations import split_inverse_combinations
from pertscope.pp._split_transfer import split_transfer
from pertscope.pp._subsample_imbalance import subsample_imbalance
from pertscope.pp._subsample_train import subsample_train

__all__ = [
    "add_perturbation_embedding",
    "add_prediction",
    "normalize",
    "register",
    "select_features",
    "split_combinations",
    "split_custom",
    "split_from_csv",
    "split_inverse_combinations",
    "split_transfer",
    "subsample_imbalance",
    "subsample_train",
]
