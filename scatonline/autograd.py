"""Ways back that are written by hand, and what they cannot do; and constants of graphs."""

from collections.abc import Callable, Sequence
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

Gradients = tuple[Tensor | None, ...]
_P = ParamSpec("_P")
_T = TypeVar("_T")


def constant(make: Callable[_P, _T]) -> Callable[_P, _T]:
    """Keeps the tensors that a function makes, by its arguments, which must be hashable.

    Copying them to a device at every step would make the host wait. Whatever mode they are first
    asked for in, they may become part of a graph later.
    """

    @wraps(make)
    def apart(*arguments: _P.args, **named: _P.kwargs) -> _T:
        with torch.inference_mode(False), torch.no_grad():
            return make(*arguments, **named)

    kept: Callable[_P, _T] = lru_cache(maxsize=64)(apart)  # type: ignore[assignment]
    return kept


def first_derivative_only(backward: Callable[..., Gradients]) -> Callable[..., Gradients]:
    """For the ``backward`` of an autograd function that PyTorch cannot differentiate once more.

    A second derivative through it raises, from whichever side it comes. PyTorch's own
    ``once_differentiable`` leaves the term out without a word where nothing asks for a derivative
    with respect to the incoming gradient. The function must save its inputs.
    """

    @wraps(backward)
    def guarded(ctx: Any, *gradients: Tensor | None) -> Gradients:
        if torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return guarded(ctx, *gradients)
        with torch.no_grad():
            found = backward(ctx, *gradients)
        if not torch.is_grad_enabled():
            return found
        depends = [t for t in (*ctx.saved_tensors, *gradients) if t is not None and t.requires_grad]
        return tuple(None if g is None else _refusing(g, depends) for g in found)

    return guarded


class _Refusal(torch.autograd.Function):
    """A gradient, as it depends on what it was computed from: in a way that is not known."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, *_: Tensor) -> Tensor:  # noqa: ARG004 (PyTorch's)
        return gradient.clone()

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Gradients:  # noqa: ARG004 (PyTorch's)
        raise RuntimeError(
            "scattering on a processor has first derivatives only, a second one was asked for: "
            "take the first one without create_graph"
        )


def _refusing(gradient: Tensor, depends: Sequence[Tensor]) -> Tensor:
    refusing: Tensor = _Refusal.apply(gradient, *depends)  # type: ignore[no-untyped-call]
    return refusing
