"""Tensor operations: activations with derivatives, matrix products with few columns, L-BFGS."""
