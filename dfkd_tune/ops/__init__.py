"""Tensor kernels: activations with their derivatives, products with few columns, L-BFGS."""
