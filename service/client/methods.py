"""Gives a client's method the arguments and the text of the request that it sends."""

import inspect
from collections.abc import Callable
from functools import update_wrapper
from typing import Any, TypeVar

M = TypeVar("M", bound=Callable[..., Any])


def described(method: M, request: Callable[..., Any]) -> M:
    """`method` takes itself, and then what `request` takes."""
    update_wrapper(method, request)
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    signature = inspect.signature(request)
    method.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[own, *signature.parameters.values()],
        return_annotation=inspect.Signature.empty,
    )
    return method
