"""Estimators of River on a scattering model, for its pipelines, metrics and evaluations.

``river`` is the online-learning library of that name (https://riverml.xyz, Montiel et al. 2021).
What it calls an estimator learns from one sample at a time and is asked for one prediction at a
time; here both go through :class:`scatonline.model.Model`. ``docs/river.md`` shows them at work.
"""

from scatonline.river.classifier import ScatteringClassifier
from scatonline.river.regressor import ScatteringRegressor
from scatonline.river.targets import ScatteringMultiTargetRegressor

__all__ = ["ScatteringClassifier", "ScatteringMultiTargetRegressor", "ScatteringRegressor"]
