"""Student architectures, one file each; latency and neuron pruning."""
