"""Train the network on CPUs: its graph and point operations as compiled loops with hand-written gradients."""
