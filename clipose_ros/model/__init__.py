"""The CLIPose network in plain PyTorch: graph layers, encoder, heads, and the checkpoint that carries them."""
