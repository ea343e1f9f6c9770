"""Learning θ online from frames and neurons, and the transforms that come of it."""

import copy
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.stability import cases
from scatonline.config import BankSpec
from scatonline.model import Model
from scatonline.sample import Sample
from scatonline.scattering import Scattering
from service.recordings import Recording


def taught(family: str, recording: Recording, samples: Sequence[Sample]) -> Iterator[Model]:
    """One model, first untaught and then after each sample."""
    scale = recording.input_scale
    assert isinstance(scale, float)
    model = Model(cases.model(family, recording.kind, scale))
    session = recording.sessions[0]
    model.open_session(session.id, session.outputs)
    yield model
    for number, sample in enumerate(samples):
        # A bootstrap shows some samples twice.
        model.step(Sample(str(number), sample.session, sample.input, sample.target))
        yield model


def with_filters_of(model: Model, spec: BankSpec) -> Scattering:
    """A transform of images that has a model's present filters."""
    transform = Scattering(spec, model.spec.shape)
    for bank, own in zip(model.learner.banks(), range(spec.max_order), strict=True):
        names, tables = bank.names, copy.deepcopy(bank.tables())
        transform.bank(own + 1).restore(names, bank.made, *tables)
    transform.arrange()
    return transform.requires_grad_(False)


def bootstrap(samples: Sequence[Sample], count: int, block: int, seed: int) -> list[Sample]:
    """Blocks of samples in a row, drawn with replacement."""
    rng = np.random.default_rng(seed)
    blocks = len(samples) // block
    drawn = rng.integers(blocks, size=-(-count // block))
    return [samples[b * block + i] for b in drawn for i in range(block)][:count]


def shuffled(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """The same frames, each with the responses to another: nothing to learn but chance."""
    order: NDArray[np.int64] = np.random.default_rng(seed).permutation(len(samples))
    return [
        Sample(own.id, own.session, own.input, samples[other].target)
        for own, other in zip(samples, order, strict=True)
    ]
