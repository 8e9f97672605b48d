"""All models: what each is, what it can predict, where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pertscope.models.base import ResponseModel


@dataclass(frozen=True)
class ModelEntry:
    """One model.

    Attributes
    ----------
    class_name
        Name in :mod:`pertscope.models`.
    module
        Module under ``pertscope.models.response`` that holds it.
    summary
        What it does, in a line.
    limits
        What it cannot do, or where it fools.
    network
        Whether it is a torch network.
    reference
        Source.
    """

    class_name: str
    module: str
    summary: str
    limits: str
    network: bool
    reference: str

    def load(self) -> type[ResponseModel]:
        """Import the model's class."""
        module = import_module(f"pertscope.models.response.{self.module}")
        return getattr(module, self.class_name)


PERTURBENCH = "Wu et al., PerturBench (2024)"
AHLMANN_ELTZE = "Ahlmann-Eltze, Huber and Anders, Nature Methods (2025)"
COLE = "Cole et al., Foundation Models Improve Perturbation Response Prediction (2025)"

MODELS: dict[str, ModelEntry] = {
    "no_change": ModelEntry(
        "NoChange",
        "no_change",
        "Predicts the matched control mean.",
        "Tells no perturbation from another: rank 0.5.",
        False,
        PERTURBENCH,
    ),
    "mean_effect": ModelEntry(
        "MeanEffect",
        "mean_effect",
        "Adds the mean training effect to the controls.",
        "Tells no perturbation from another: rank 0.5, however good its RMSE.",
        False,
        PERTURBENCH,
    ),
    "additive": ModelEntry(
        "Additive",
        "additive",
        "Adds the effects of the single perturbations.",
        "Knows no interactions, and no modulation by covariates.",
        False,
        AHLMANN_ELTZE,
    ),
    "bilinear": ModelEntry(
        "Bilinear",
        "bilinear",
        "Ridge regression on gene and perturbation embeddings.",
        "Covariates shift the mean effect only.",
        False,
        AHLMANN_ELTZE,
    ),
    "embedding_regression": ModelEntry(
        "EmbeddingRegression",
        "embedding_regression",
        "Regresses effects on embeddings of perturbations, for those that are unseen.",
        "Is as good as the embedding; covariates share nothing.",
        False,
        COLE,
    ),
    "embedding_fusion": ModelEntry(
        "EmbeddingFusion",
        "embedding_fusion.model",
        "Fuses several embeddings of perturbations by attention, for those that are unseen.",
        "Is as good as the embeddings; many weights for a screen of a few hundred perturbations.",
        True,
        COLE,
    ),
    "context_mlp": ModelEntry(
        "ContextMLP",
        "context_mlp.model",
        "Predicts effects from an embedding and the controls of a context, seen or not.",
        "Learns what contexts are from as many as there are: few lines say little of another.",
        True,
        COLE,
    ),
    "fine_tuning": ModelEntry(
        "FineTuning",
        "fine_tuning.model",
        "Fine-tunes an encoder of genes to the effects of perturbing them, seen or not.",
        "Knows genes only, no compounds; small screens are learned by heart.",
        True,
        COLE,
    ),
    "linear": ModelEntry(
        "Linear",
        "linear.model",
        "Adds a linear effect of perturbation and covariates to the control cell.",
        "Knows no interactions of perturbations or with covariates.",
        True,
        PERTURBENCH,
    ),
    "latent_additive": ModelEntry(
        "LatentAdditive",
        "latent_additive.model",
        "Adds encoded control cell and encoded perturbation in a latent space, and decodes.",
        "Needs every perturbation in training, or an embedding of perturbations.",
        True,
        PERTURBENCH,
    ),
    "decoder_only": ModelEntry(
        "DecoderOnly",
        "decoder_only.model",
        "Decodes the labels of a condition.",
        "Predicts no variation between cells.",
        True,
        PERTURBENCH,
    ),
    "cpa": ModelEntry(
        "CPA",
        "cpa.model",
        "Adds embeddings to a basal state that an adversary keeps free of them, and decodes.",
        "Needs every perturbation in training, or no adversary and an embedding of perturbations; "
        "many epochs for two players who take turns.",
        True,
        "Lotfollahi et al., Molecular Systems Biology (2023); " + PERTURBENCH,
    ),
    "sams_vae": ModelEntry(
        "SAMSVAE",
        "sams_vae.model",
        "Adds masked effects to a basal state in the latent space of an autoencoder.",
        "Needs every perturbation in training, and many steps to decide its masks.",
        True,
        "Bereket and Karaletsos, NeurIPS (2023); " + PERTURBENCH,
    ),
    "biolord": ModelEntry(
        "Biolord",
        "biolord.model",
        "Decodes a short, noisy basal state next to perturbation and covariates.",
        "Needs every perturbation in training, or an embedding of perturbations; a basal state "
        "left long keeps effects to itself.",
        True,
        "Piran et al., Nature Biotechnology (2024); " + PERTURBENCH,
    ),
    "generative": ModelEntry(
        "Generative",
        "generative.model",
        "Carries control cells to perturbed cells by flow matching, a bridge or diffusion.",
        "Needs every perturbation in training, or an embedding of perturbations; sees principal "
        "components only, and a prediction takes many passes.",
        True,
        COLE,
    ),
}
