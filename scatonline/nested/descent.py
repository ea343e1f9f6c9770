"""The inner loop: θ by gradient, on the error of a ridge readout on samples that it left out.

The readout needs no training of its own: for every θ it is the exact ridge regression, and what it
gets wrong on left-out samples is a closed form through which the gradient goes
(:mod:`scatonline.nested.ridge`). A batch of samples makes one step; a batch's ridge is the whole
set's, less as many times as the batch is smaller.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scatonline.config import ModelSpec, Tie
from scatonline.descent import Descent
from scatonline.features import Layout, Standardiser
from scatonline.nested.calibration import CalibrationSet
from scatonline.nested.judge import Judge, Verdict, columns_of
from scatonline.nested.limits import NestedSpec
from scatonline.nested.ridge import Groups, filled, left_out_errors
from scatonline.scattering import Scattering

# Inputs whose graph is kept at a time.
_CHUNK = 16

Step = Callable[[int], None]


@dataclass(frozen=True)
class Descended:
    """Where a descent ended.

    Attributes:
        scattering: The banks at their best.
        verdict: On held-out samples.
        steps: Taken.
        losses: Left-out error of every step's batch, in units of the targets' variance.
        judged: Held-out explained variance at every look, the first one before any step.
    """

    scattering: Scattering
    verdict: Verdict
    steps: int
    losses: tuple[float, ...]
    judged: tuple[float, ...]


def descend(
    scattering: Scattering, start: Verdict, problem: "Problem", tie: Tie, stepped: Step
) -> Descended:
    """Moves a copy of the banks until held-out samples say that it is enough.

    Args:
        scattering: The banks; left as they are.
        start: Their verdict.
        problem: What is to be explained.
        tie: Which filters move together.
        stepped: Called after every step with its number.
    """
    limits = problem.limits
    moving = copy.deepcopy(scattering)
    best, verdict, since = copy.deepcopy(moving), start, 0
    learning = replace(problem.spec.learning, optimiser="adam", rate=limits.rate, tie=tie)
    banks = [moving.bank(layer) for layer in range(1, problem.spec.bank.max_order + 1)]
    descents = [Descent(learning, bank) for bank in banks]
    losses: list[float] = []
    judged = [start.explained]
    batches = problem.batches()
    while len(losses) < limits.steps and since < limits.patience:
        loss, gradients = problem.gradient(moving, next(batches), verdict)
        for bank, descent, gradient in zip(banks, descents, gradients, strict=True):
            if gradient is not None:
                descent.step(bank, gradient)
        losses.append(loss)
        stepped(len(losses))
        if len(losses) % limits.every == 0 or len(losses) == limits.steps:
            new = problem.judge(moving)
            judged.append(new.explained)
            if new.explained > verdict.explained:
                best, verdict, since = copy.deepcopy(moving), new, 0
            else:
                since += 1
    return Descended(best, verdict, len(losses), tuple(losses), tuple(judged))


@dataclass(frozen=True)
class Problem:
    """What θ is to be good at.

    Attributes:
        spec: The model.
        limits: Of the optimisation.
        fitted: Samples to fit to, copies of one sample in one group.
        judge: Scores banks on held-out samples.
    """

    spec: ModelSpec
    limits: NestedSpec
    fitted: CalibrationSet
    judge: Judge

    def batches(self) -> Iterator[Tensor]:
        """Rows of whole groups in random order, again and again; as many as fit into a batch."""
        generator = torch.Generator().manual_seed(self.spec.seed)
        names = torch.unique(self.fitted.groups)
        share = min(1.0, self.limits.batch / len(self.fitted))
        take = max(2, round(share * len(names)))
        while True:
            order = names[torch.randperm(len(names), generator=generator)]
            for first in range(0, len(names) - take + 1, take):
                drawn = torch.isin(self.fitted.groups, order[first : first + take])
                yield torch.nonzero(drawn)[:, 0]

    def gradient(
        self, scattering: Scattering, rows: Tensor, at: Verdict
    ) -> tuple[float, list[Tensor | None]]:
        """Left-out error of a batch, and its gradient in every layer's θ.

        The batch goes through the cascade twice: once for the error, once, a few inputs at a time,
        for the gradient, so that memory does not grow with the batch.
        """
        x = self.fitted.inputs[rows]
        layout = Layout(self.spec, scattering.cascade)
        built = scattering.build()
        columns = columns_of(scattering, layout, x).requires_grad_()
        standardise = Standardiser.fit(columns.detach(), layout.weight.to(x.device))
        loss = self._loss(standardise(columns), rows, at.ridge)
        (wanted,) = torch.autograd.grad(loss, columns)
        leaves = built.leaves(requires_grad=True)
        averages = scattering.averages(torch.float32, x.device)
        for some, gradient in zip(torch.split(x, _CHUNK), torch.split(wanted, _CHUNK), strict=True):
            torch.autograd.backward(layout.columns(some, leaves, averages), gradient)
        reached = [(built.psi[use], p.grad) for use, p in leaves.items() if p.grad is not None]
        outputs, gradients = zip(*reached, strict=True)
        thetas = [scattering.bank(m + 1).theta for m in range(self.spec.bank.max_order)]
        return float(loss.detach()), list(
            torch.autograd.grad(outputs, thetas, gradients, allow_unused=True)
        )

    def _loss(self, z: Tensor, rows: Tensor, ridge: float) -> Tensor:
        y, observed = filled(self.fitted.targets, rows)
        share = len(rows) / len(self.fitted)
        groups = Groups.of(self.fitted.groups[rows])
        errors = left_out_errors(z @ z.T, y[rows], ridge * share, groups)
        seen = observed[rows]
        return (errors.square() * seen).sum() / seen.sum()
