"""Prepare a screen: say what its columns mean, normalise, select genes, split, add predictions."""

from pertscope.pp._add_perturbation_embedding import add_perturbation_embedding
from pertscope.pp._add_prediction import add_prediction
from pertscope.pp._add_representation import add_representation
from pertscope.pp._aggregate import aggregate
from pertscope.pp._center import center
from pertscope.pp._center_scale import center_scale
from pertscope.pp._combat import combat
from pertscope.pp._harmony import harmony
from pertscope.pp._mad_robustize import mad_robustize
from pertscope.pp._normalize import normalize
from pertscope.pp._random_labels import random_labels
from pertscope.pp._register import register
from pertscope.pp._scanorama import scanorama
from pertscope.pp._select_features import select_features
from pertscope.pp._select_profile_features import select_profile_features
from pertscope.pp._sphere import sphere
from pertscope.pp._split_batches import split_batches
from pertscope.pp._split_combinations import split_combinations
from pertscope.pp._split_contexts import split_contexts
from pertscope.pp._split_custom import split_custom
from pertscope.pp._split_from_csv import split_from_csv
from pertscope.pp._split_inverse_combinations import split_inverse_combinations
from pertscope.pp._split_transfer import split_transfer
from pertscope.pp._split_unseen import split_unseen
from pertscope.pp._subsample_imbalance import subsample_imbalance
from pertscope.pp._subsample_train import subsample_train
from pertscope.pp._tvn import tvn

__all__ = [
    "add_perturbation_embedding",
    "add_prediction",
    "add_representation",
    "aggregate",
    "center",
    "center_scale",
    "combat",
    "harmony",
    "mad_robustize",
    "normalize",
    "random_labels",
    "register",
    "scanorama",
    "select_features",
    "select_profile_features",
    "sphere",
    "split_batches",
    "split_combinations",
    "split_contexts",
    "split_custom",
    "split_from_csv",
    "split_inverse_combinations",
    "split_transfer",
    "split_unseen",
    "subsample_imbalance",
    "subsample_train",
    "tvn",
]
