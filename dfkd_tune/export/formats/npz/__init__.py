"""Write a student as NumPy arrays, with the functions that answer by them."""
