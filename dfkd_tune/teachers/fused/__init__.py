"""Forward passes of frozen networks with their pullbacks by hand, without autograd: one file a kind of layer."""
