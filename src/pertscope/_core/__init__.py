"""Array kernels and the data contract: everything else stands on this folder."""
