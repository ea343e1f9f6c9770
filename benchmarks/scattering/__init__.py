"""Speed and memory of the transform, against Kymatio 0.3.0 and against the FFTs that it needs.

``make bench-scattering``, or in the environment of CONTRIBUTING.md, "Comparing with Kymatio"::

    .venv-bench/bin/python -m benchmarks.scattering --help
"""
