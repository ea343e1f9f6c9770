"""Do learnable families learn what is there, and does it help on real recordings?

``python -m benchmarks.families`` (``make bench-families``): recovery of a teacher's parameters,
held-out scores of every family fixed and learned, and the family that calibration would choose.
"""
