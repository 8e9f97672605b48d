"""Networks that are trained on what is known of genes, to describe them by vectors."""
