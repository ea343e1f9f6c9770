"""The public transforms under ``torch.compile``."""

import os
import shutil
import subprocess
import sys

import pytest

COMPILER = shutil.which("c++") or shutil.which("g++")
# Warnings of PyTorch's compiler itself; all others are errors, as in every test.
WARNINGS = (
    "ignore:`torch.jit.script_method` is deprecated:DeprecationWarning",
    "ignore:Torchinductor does not support code generation for complex operators:UserWarning",
)
COMPILED = """
import numpy as np, torch
from scatonline import Scattering1D, Scattering2D

for transform in (Scattering2D(2, (32, 32), L=4), Scattering1D(4, (256,), Q=(4, 1))):
    x = np.random.default_rng(0).standard_normal((2, *transform.geometry.shape))
    thetas, found = [transform.bank(m).theta for m in (1, 2)], []
    for module in (torch.compile(transform, fullgraph=True), transform):
        maps = module(torch.from_numpy(x).float())
        found.append((maps, *torch.autograd.grad(maps.square().sum(), thetas)))
    for ours, theirs in zip(*found, strict=True):
        print(float((ours - theirs).detach().norm() / theirs.detach().norm()))
"""


@pytest.mark.slow
@pytest.mark.skipif(COMPILER is None, reason="torch.compile needs a C++ compiler: c++ or g++")
def test_compiled_whole_it_gives_the_same() -> None:
    """In one graph without breaks: values, and the gradient of every θ.

    In a process of its own, without the run-time checks of types, which cannot be compiled. The
    compiler starts no processes of its own.
    """
    options = [part for warning in WARNINGS for part in ("-W", warning)]
    ran = subprocess.run(
        [sys.executable, "-W", "error", *options, "-c", COMPILED],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TORCHINDUCTOR_COMPILE_THREADS": "1"},
    )
    assert ran.returncode == 0, ran.stderr
    differences = [float(line) for line in ran.stdout.split()]
    assert len(differences) == 6
    assert max(differences) < 1e-5
