"""Measurements of aionorth against its promises: `python -m benchmarks` lists them and runs them all."""
