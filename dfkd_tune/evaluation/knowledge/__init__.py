"""What more knowledge of the inputs would buy: plausible inputs one tier up, and the estimate made from them."""
