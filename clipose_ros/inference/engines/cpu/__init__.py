"""CPU engine: compiled loops between few matrix products, in float32 or int8."""
