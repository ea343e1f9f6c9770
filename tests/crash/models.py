"""Small models that between them keep every kind of state that a crash could lose."""

from typing import Any

UNITS = ("unit-1", "unit-2")
CLASSES = ("fist", "point", "rest")

_SMALL: dict[str, Any] = {
    "channels": 1,
    "shape": [32],
    "bank": {"J": 2, "Q": [1], "max_order": 1},
    "features": {"orders": [0, 1], "calibration": 8},
    "learning": {"warmup": 8},
    "structure": {"enabled": False},
}
# A check ends when it ends, so only models without can be held against another process.
LEARNER: dict[str, Any] = {**_SMALL, "name": "learner", "label_hold": 3}
FOLLOWER: dict[str, Any] = {
    **_SMALL,
    "name": "follower",
    "channels": 3,
    "readout": {"kind": "softmax"},
    "realignment": {"enabled": True},
}
REMEMBERER: dict[str, Any] = {
    **_SMALL,
    "name": "rememberer",
    "features": {**_SMALL["features"], "lags": 2},
    "readout": {"kind": "gaussian", "method": "window", "window": 64},
}
GUARDED: dict[str, Any] = {
    **_SMALL,
    "name": "guarded",
    "adaptation": {"detect": True, "shadow": True},
}
REPEATABLE = (LEARNER, FOLLOWER, REMEMBERER, GUARDED)

# Its structure is checked, and samples expire by the clock.
RESTRUCTURED: dict[str, Any] = {
    **_SMALL,
    "name": "restructured",
    "shape": [64],
    "bank": {"J": 3, "Q": [2, 1], "max_order": 1},
    "structure": {
        "window": 48,
        "check_every": 24,
        "min_effective": 8.0,
        "restarts": 2,
        "cooldown": 0.1,
        "epsilon": 0.5,
    },
    "adaptation": {"detect": True, "shadow": True},
    "pending_age_s": 0.5,
    "pending": 16,
}
MODELS = {model["name"]: model for model in (*REPEATABLE, RESTRUCTURED)}


def outputs(model: str) -> tuple[str, ...]:
    """Names of what a model predicts."""
    return CLASSES if model == "follower" else UNITS
