"""Train models and predict perturbations; predictions stay in the screen."""

from pertscope.tl._fit_additive import fit_additive
from pertscope.tl._fit_bilinear import fit_bilinear
from pertscope.tl._fit_biolord import fit_biolord
from pertscope.tl._fit_cpa import fit_cpa
from pertscope.tl._fit_decoder_only import fit_decoder_only
from pertscope.tl._fit_gears import fit_gears
from pertscope.tl._fit_latent_additive import fit_latent_additive
from pertscope.tl._fit_linear import fit_linear
from pertscope.tl._fit_mean_effect import fit_mean_effect
from pertscope.tl._fit_no_change import fit_no_change
from pertscope.tl._fit_sams_vae import fit_sams_vae
from pertscope.tl._predict import predict
from pertscope.tl._tune import tune

__all__ = [
    "fit_additive",
    "fit_bilinear",
    "fit_biolord",
    "fit_cpa",
    "fit_decoder_only",
    "fit_gears",
    "fit_latent_additive",
    "fit_linear",
    "fit_mean_effect",
    "fit_no_change",
    "fit_sams_vae",
    "predict",
    "tune",
]
