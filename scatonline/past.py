"""Columns of the inputs before: what a sample's lags are made of.

A session keeps the raw columns of its last inputs as they were computed when those came, so that
every input goes through the cascade once. Kept tensors are shared by whatever waits for a label and
by readers; none is changed in place.
"""

import torch
from torch import Tensor

# Newest first, each ``(single,)`` float32 without a graph; shorter where a session has just begun.
Past = tuple[Tensor, ...]


def beside(columns: Tensor, past: Past, lags: int) -> Tensor:
    """One input's columns and those of the inputs before it.

    Args:
        columns: ``(single,)``; a graph goes on through these only, as the past ones were made with
            filters that have been replaced since.
        past: What came before.
        lags: How many of them are asked for.

    Returns:
        ``((1 + lags) · single,)``, NaN where there was no input.
    """
    if not lags:
        return columns
    absent = [columns.new_full(columns.shape, torch.nan)] * (lags - len(past))
    return torch.cat((columns, *past[:lags], *absent))


def followed(past: Past, columns: Tensor, lags: int) -> Past:
    """The past of the next input: ``columns`` ``(single,)`` of this one first, the oldest gone."""
    return (columns.detach().clone(), *past)[:lags]


def carried(past: Past, index: Tensor) -> Past:
    """In other columns, by the old one of each new one; NaN for one never seen (−1)."""
    return tuple(torch.where(index < 0, torch.nan, kept[index.clamp_min(0)]) for kept in past)


def sources(numbers: Tensor, lags: int) -> Tensor:
    """Which samples of a window came 1, …, ``lags`` before each of them.

    Args:
        numbers: ``(samples,)`` distinct integers, the order in which all samples of a session came.
        lags: How far back.

    Returns:
        ``(samples, lags)`` places in the window, −1 where the window does not hold that sample.
    """
    if not len(numbers) or not lags:
        return numbers.new_zeros(len(numbers), lags)
    ordered, place = numbers.sort()
    wanted = numbers[:, None] - torch.arange(1, lags + 1, device=numbers.device)
    at = torch.searchsorted(ordered, wanted).clamp_max(len(ordered) - 1)
    return torch.where(ordered[at] == wanted, place[at], -1)


def shifted(columns: Tensor, found: Tensor) -> Tensor:
    """Columns of a window with those of the samples before.

    Args:
        columns: ``(samples, single)``.
        found: ``(samples, lags)`` from :func:`sources`.

    Returns:
        ``(samples, (1 + lags) · single)``, NaN for a sample that the window does not hold.
    """
    parts = [columns]
    for before in found.T:
        absent = (before < 0)[:, None]
        parts.append(torch.where(absent, torch.nan, columns[before.clamp_min(0)]))
    return torch.cat(parts, 1)
