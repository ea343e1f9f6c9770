"""What the public transforms keep as PyTorch modules: θ, filters, identities."""

import copy
import gc
import io
import pickle
import weakref
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scatonline import Scattering, Scattering1D, Scattering2D
from scatonline.cascade.buffers import Pool

Make = Callable[..., Scattering]


def line(**options: Any) -> Scattering:
    return Scattering1D(4, 90, (3, 2), **options)


def plane(**options: Any) -> Scattering:
    return Scattering2D(2, (14, 17), 3, **options)


BOTH = pytest.mark.parametrize("make", [line, plane])
# In bound "open" a filter stays as it was made, whichever others come and go.
VALUES: dict[Make, list[float]] = {line: [0.21, 0.03], plane: [0.3, 1.2, 1.6, 0.9]}


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def scattered(transform: Scattering, x: Tensor) -> Any:
    with torch.no_grad():
        return transform(x)


def signal_of(transform: Scattering) -> Tensor:
    return noise(2, *transform.geometry.shape)


def moved(transform: Scattering) -> Scattering:
    """After steps on θ, and with other filters than it was made with."""
    with torch.no_grad():
        for bank in (transform.bank(1), transform.bank(2)):
            bank.theta.add_(0.2 * noise(*bank.theta.shape))
    make = line if len(transform.geometry.shape) == 1 else plane
    transform.drop(1, "1/j0/1")
    transform.drop(2, transform.bank(2).names[0].id)
    transform.add(1, 1, VALUES[make])
    last = transform.add(1, 0, VALUES[make])
    transform.drop(1, last)
    return transform


def assert_same(ours: Scattering, theirs: Scattering) -> None:
    """Same bits, same ids, and the same ids for filters to come."""
    x = signal_of(theirs)
    assert ours.meta() == theirs.meta()
    assert torch.equal(scattered(ours, x), scattered(theirs, x))
    values = theirs.bank(1).values().tolist()[0]
    known = {name.id for name in theirs.bank(1).names}
    for scale in (0, 1):
        found = {transform.add(1, scale, values) for transform in (ours, theirs)}
        assert len(found) == 1
        assert not found & known
    assert torch.equal(scattered(ours, x), scattered(theirs, x))


def pickled(transform: Scattering) -> Scattering:
    restored = pickle.loads(pickle.dumps(transform))  # noqa: S301 (made one line above)
    assert isinstance(restored, Scattering)
    return restored


@BOTH
@pytest.mark.parametrize("bound", ["clamp", "open"])
@pytest.mark.parametrize("duplicate", [pickled, copy.deepcopy])
@pytest.mark.parametrize("used", [False, True])
def test_copies_are_the_transform_and_go_their_own_way(
    make: Make, bound: str, duplicate: Callable[[Scattering], Scattering], used: bool
) -> None:
    transform = moved(make(bound=bound))
    x = signal_of(transform)
    if used:
        torch.autograd.backward(transform(x).sum())
        scattered(transform, x)
    before = scattered(transform, x).clone()
    other = duplicate(transform)
    with torch.no_grad():
        other.bank(1).theta.add_(0.1)
    assert not torch.equal(scattered(other, x), before)
    assert torch.equal(scattered(transform, x), before)
    with torch.no_grad():
        other.bank(1).theta.copy_(transform.bank(1).theta)
    assert_same(other, transform)


@BOTH
@pytest.mark.parametrize("bound", ["clamp", "open"])
@pytest.mark.parametrize("saved_from", ["fresh", "moved"])
def test_saved_state_makes_any_module_of_its_kind_the_same(
    make: Make, bound: str, saved_from: str
) -> None:
    """Also as part of a larger module, and into one whose filters have come and gone."""
    transform = moved(make(bound=bound)) if saved_from == "moved" else make(bound=bound)
    file = io.BytesIO()
    torch.save(nn.Sequential(transform, nn.ReLU()).state_dict(), file)
    for target in (make(bound=bound), moved(make(bound=bound))):
        scattered(target, signal_of(target))
        file.seek(0)
        nn.Sequential(target, nn.ReLU()).load_state_dict(torch.load(file, weights_only=True))
        assert_same(target, copy.deepcopy(transform))
        assert isinstance(target.bank(1).theta, nn.Parameter)


@BOTH
def test_saved_state_has_readable_names(make: Make) -> None:
    state = make(bound="open").state_dict()
    tables = ("theta", "lower", "upper", "initial", "ceiling", "_extra_state")
    assert set(state) == {f"banks.{m}.{name}" for m in (0, 1) for name in tables}
    names = [[name.id, name.scale] for name in make().bank(1).names]
    assert state["banks.0._extra_state"]["names"] == names


@BOTH
@pytest.mark.parametrize(
    "convert",
    [
        lambda module: module.to(torch.float32),
        lambda module: module.double(),
        lambda module: module.half(),
        lambda module: module.to("cpu", torch.bfloat16),
    ],
)
def test_theta_stays_in_double_precision(make: Make, convert: Callable[[nn.Module], Any]) -> None:
    """Filters are made in it; results have the signal's type."""
    transform = make()
    x = signal_of(transform)
    before = scattered(transform, x)
    convert(nn.Sequential(transform))
    assert {p.dtype for p in transform.parameters()} == {torch.float64}
    assert torch.equal(scattered(transform, x), before)


@BOTH
@pytest.mark.parametrize("layer", [1, 2])
def test_kept_filters_follow_theta_however_it_is_written(make: Make, layer: int) -> None:
    transform, x = make(), signal_of(make())
    theta = transform.bank(layer).theta
    step = 0.1 * noise(*theta.shape)

    def in_place() -> None:
        with torch.no_grad():
            theta.add_(step)

    def through_data() -> None:
        theta.data.sub_(2 * step)

    def through_numpy() -> None:
        array = theta.detach().numpy()
        array += step.numpy()

    start = scattered(transform, x)
    results = [start]
    for write in (in_place, through_data, through_numpy):
        write()
        results.append(scattered(transform, x))
        assert torch.equal(results[-1], transform(x).detach())
    assert not torch.equal(results[0], results[1])
    assert not torch.equal(results[1], results[2])
    np.testing.assert_allclose(results[3], start, rtol=0, atol=1e-12)


@BOTH
def test_calls_that_overtake_one_another_keep_their_own_filters(make: Make) -> None:
    """A call in another precision comes between looking at the kept filters and using them."""
    transform = make()
    x = signal_of(transform).float()
    expected = scattered(transform, x)
    equal, waiting = torch.equal, [x.double()]

    def overtaken(a: Tensor, b: Tensor) -> bool:
        while waiting:
            scattered(transform, waiting.pop())
        return equal(a, b)

    with mock.patch("torch.equal", overtaken):
        found = scattered(transform, x)
    assert not waiting
    assert torch.equal(found, expected)


def evaluated(transform: Scattering, x: Tensor) -> int:
    """Filters that the family is asked for in a call."""
    family = transform.bank(1).family
    with mock.patch.object(family, "spectra", wraps=family.spectra) as spectra:
        scattered(transform, x)
    return sum(len(call.args[0]) for call in spectra.call_args_list)


@BOTH
@pytest.mark.parametrize("bound", ["none", "clamp", "open"])
def test_only_new_filters_are_evaluated(make: Make, bound: str) -> None:
    transform = make(bound=bound)
    x = signal_of(transform).float()
    assert evaluated(transform, x) == sum(len(transform.bank(m)) for m in (1, 2))
    assert evaluated(transform, x) == 0
    added = transform.add(1, 1, VALUES[make])
    assert evaluated(transform, x) == 1
    transform.add(2, 1, VALUES[make])
    transform.add(1, 0, VALUES[make])
    assert evaluated(transform, x) == 2
    transform.drop(1, added)
    transform.drop(2, transform.bank(2).names[0].id)
    assert evaluated(transform, x) == 0
    with torch.no_grad():
        transform.bank(1).theta[1] += 0.1
    assert evaluated(transform, x) == 1


@BOTH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_open_bank_without_a_filter_leaves_other_channels_their_bits(
    make: Make, dtype: torch.dtype
) -> None:
    """Moduli to the bit; averages to a rounding, as products of other sizes may sum otherwise."""
    for gone in ("1/j0/0", "1/j1/1", "2/j1/0"):
        for average in ("none", "local"):
            transform = make(bound="open", average=average)
            x = signal_of(transform).to(dtype)
            keys, before = transform.meta()["key"], scattered(transform, x)
            transform.drop(int(gone[0]), gone)
            after = scattered(transform, x)
            channels = [keys.index(key) for key in transform.meta()["key"]]
            assert len(channels) < len(keys)
            if average == "none":
                for channel, u in zip(channels, after, strict=True):
                    assert torch.equal(u, before[channel])
            else:
                rounding = 4 * torch.finfo(dtype).eps * float(before.abs().max())
                assert float((after - before[:, channels]).abs().max()) <= rounding


@pytest.mark.parametrize(
    ("J", "shape", "L"), [(2, (16, 16), 4), (2, (19, 14), 2), (3, (24, 40), 8)]
)
@pytest.mark.parametrize("compiled", [False, True])
def test_open_bound_is_idle_until_filters_move(
    J: int, shape: tuple[int, int], L: int, compiled: bool
) -> None:
    """In either form of the family, which differ by roundings and by where Gaussians are cut."""
    bank = Scattering2D(J, shape, L, 1, bound="open").bank(1)
    with torch.no_grad(), mock.patch("torch.compiler.is_compiling", return_value=compiled):
        within = torch.cat(list(bank.spectra().values()))
        assert torch.equal(within, bank.made_spectra() * bank.ceiling)


def test_frozen_transform_still_has_a_gradient_for_its_signal() -> None:
    learning, frozen = plane(), plane().requires_grad_(False)
    x = signal_of(frozen)
    found = []
    for transform in (learning, frozen, frozen):
        leaf = x.clone().requires_grad_()
        found.append(torch.autograd.grad(transform(leaf).square().sum(), leaf)[0])
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[1], found[2])


def not_a_number(like: Any, **options: Any) -> Any:
    """As ``numpy.empty_like`` may: fresh memory holds anything."""
    return np.full_like(like, np.nan if like.dtype.kind in "fc" else 0, **options)


@BOTH
@pytest.mark.parametrize("bound", ["none", "clamp", "open"])
def test_filters_that_act_on_nothing_have_no_gradient_and_disturb_none(
    make: Make, bound: str
) -> None:
    """A second filter that is as fine as any first one has no path to be on."""
    transform = make(bound=bound)
    x = signal_of(transform)
    transform.add(2, 0, VALUES[make])
    with mock.patch("numpy.empty_like", not_a_number):
        torch.autograd.backward(transform(x).square().sum())
    gradient = transform.bank(2).theta.grad
    assert gradient is not None
    assert bool(torch.isfinite(gradient).all())
    if bound == "none":
        assert not bool(gradient[transform.bank(2).rows(0)].any())


@BOTH
@pytest.mark.parametrize("average", ["local", "none"])
def test_mixed_precision_around_it_changes_nothing(make: Make, average: str) -> None:
    """A region that casts products to half precision leaves the signal's type and θ's gradient."""
    transform = make(average=average)
    x = signal_of(transform).float()
    found = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            maps = list(transform(x))
        loss = torch.stack([u.square().sum() for u in maps]).sum()
        found.append([*maps, *torch.autograd.grad(loss, transform.bank(1).theta)])
    for ours, theirs in zip(*found, strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)


def test_buffers_that_waited_longest_are_let_go() -> None:
    """A stream whose batches change in size does not gather memory; the last size is ready."""
    cascade = plane().cascade
    pool = Pool(cascade.plan, cascade.geometry)
    lent = [pool.borrow(batch, torch.float32) for batch in range(1, 10)]
    known = [weakref.ref(buffers) for buffers in lent]
    while lent:
        pool.give_back(lent.pop(0))
    gc.collect()
    assert sum(reference() is not None for reference in known) <= 4
    assert pool.borrow(9, torch.float32) is known[-1]()
    assert pool.borrow(9, torch.float64).dtype == torch.float64
