"""WebDataset shards of clouds: manifest, codec, writer and stream."""
