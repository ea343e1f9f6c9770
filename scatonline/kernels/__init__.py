"""Compiled inner loops: what PyTorch has no single operation for, in one pass over memory each.

They run on a processor. Elsewhere, and where PyTorch compiles a whole program, its own operations
do the same; tests hold both to each other.
"""
