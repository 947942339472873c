"""How the arguments and outputs of a teacher lie in flat rows: signatures, and layouts made of them."""
