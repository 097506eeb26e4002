"""CLIPose network in PyTorch: graph layers, encoder, heads, and checkpoints."""
