"""Commands that keep house: what studies there are, and what becomes of them. One file each."""
