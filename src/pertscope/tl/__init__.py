"""Train models and predict perturbations; predictions stay in the screen."""

from pertscope.tl._aggregate_gene_embeddings import aggregate_gene_embeddings
from pertscope.tl._cross_validate import cross_validate
from pertscope.tl._deg_labels import deg_labels
from pertscope.tl._effects import effects
from pertscope.tl._embed_annotations import embed_annotations
from pertscope.tl._embed_fingerprints import embed_fingerprints
from pertscope.tl._embed_gene_pca import embed_gene_pca
from pertscope.tl._embed_graph_network import embed_graph_network
from pertscope.tl._embed_random import embed_random
from pertscope.tl._embed_random_walk import embed_random_walk
from pertscope.tl._embed_spectral import embed_spectral
from pertscope.tl._embed_targets import embed_targets
from pertscope.tl._fit_additive import fit_additive
from pertscope.tl._fit_bilinear import fit_bilinear
from pertscope.tl._fit_biolord import fit_biolord
from pertscope.tl._fit_context_mlp import fit_context_mlp
from pertscope.tl._fit_cpa import fit_cpa
from pertscope.tl._fit_decoder_only import fit_decoder_only
from pertscope.tl._fit_embedding_fusion import fit_embedding_fusion
from pertscope.tl._fit_embedding_regression import fit_embedding_regression
from pertscope.tl._fit_fine_tuning import fit_fine_tuning
from pertscope.tl._fit_gears import fit_gears
from pertscope.tl._fit_generative import fit_generative
from pertscope.tl._fit_latent_additive import fit_latent_additive
from pertscope.tl._fit_linear import fit_linear
from pertscope.tl._fit_mean_effect import fit_mean_effect
from pertscope.tl._fit_no_change import fit_no_change
from pertscope.tl._fit_sams_vae import fit_sams_vae
from pertscope.tl._learning_curve import learning_curve
from pertscope.tl._pca import pca
from pertscope.tl._predict import predict
from pertscope.tl._scvi import scvi
from pertscope.tl._train_gene_encoder import train_gene_encoder
from pertscope.tl._transfer_scvi import transfer_scvi
from pertscope.tl._tune import tune
from pertscope.tl._umap import umap

__all__ = [
    "aggregate_gene_embeddings",
    "cross_validate",
    "deg_labels",
    "effects",
    "embed_annotations",
    "embed_fingerprints",
    "embed_gene_pca",
    "embed_graph_network",
    "embed_random",
    "embed_random_walk",
    "embed_spectral",
    "embed_targets",
    "fit_additive",
    "fit_bilinear",
    "fit_biolord",
    "fit_context_mlp",
    "fit_cpa",
    "fit_decoder_only",
    "fit_embedding_fusion",
    "fit_embedding_regression",
    "fit_fine_tuning",
    "fit_gears",
    "fit_generative",
    "fit_latent_additive",
    "fit_linear",
    "fit_mean_effect",
    "fit_no_change",
    "fit_sams_vae",
    "learning_curve",
    "pca",
    "predict",
    "scvi",
    "train_gene_encoder",
    "transfer_scvi",
    "tune",
    "umap",
]
