"""How features go together, by a Gaussian copula: rank correlations, windows that move, images that are smooth."""
