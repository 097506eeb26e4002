"""Commands: thin, argparse, no logic."""
