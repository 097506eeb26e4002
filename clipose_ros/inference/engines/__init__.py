"""Engines: implementations of the network's forward pass behind one NumPy interface."""
