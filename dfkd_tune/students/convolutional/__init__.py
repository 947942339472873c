"""Convolutional students: over windows, and over grids."""
