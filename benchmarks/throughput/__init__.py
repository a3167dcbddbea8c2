"""From JPEG bytes to a network's input: freqvision and its rivals, measured next to each other.

A script in `benchmarks/` imports it as `throughput`.
"""
