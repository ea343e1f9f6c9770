"""How much columns count: learned from a session that has ended, where it says something."""

import copy
import functools
import math
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from scatonline import Model, Sample
from scatonline.config import (
    BankSpec,
    FeatureSpec,
    LearningSpec,
    ModelSpec,
    ReadoutSpec,
    StructureSpec,
)
from scatonline.errors import ConfigError
from scatonline.readout import RecursiveReadout, WindowReadout
from scatonline.readout.descend import descended
from scatonline.readout.evidence import Evidence
from scatonline.readout.prior import learned
from scatonline.readout.similarity import linear, nonlinear
from tests.scatonline.models import copied, decided

Method = Literal["recursive", "window"]
METHODS: tuple[Method, ...] = ("recursive", "window")
# Six paths of eight places each.
PATHS, PLACES = 6, 8
WIDTH = PATHS * PLACES
# The first three paths are of one scale; all columns are of one lag.
KINDS = torch.stack(
    (
        torch.arange(WIDTH) // (3 * PLACES),
        torch.arange(WIDTH) // PLACES,
        torch.arange(WIDTH) % PLACES,
        torch.zeros(WIDTH, dtype=torch.long),
    )
)
# What units answer to: two paths, at three places.
MATTERS = (KINDS[1] < 2) & (KINDS[2] < 3)


def readout(method: Method, outputs: int = 3, session: str = "a", **values: Any) -> Any:
    given: dict[str, Any] = {"kind": "gaussian", "method": method, "prior": "learned"}
    given |= {"ridge": 10.0, "window": 320, **values}
    spec = ReadoutSpec(**given)
    names = [f"{session}{number}" for number in range(outputs)]
    if method == "window":
        return WindowReadout(spec, WIDTH, names, float(WIDTH), "cpu")
    return RecursiveReadout.fresh(spec, WIDTH, outputs, "cpu")


def samples(count: int, seed: int = 0, outputs: int = 3) -> list[tuple[Tensor, Tensor]]:
    """Units of one seed answer to other mixtures of what matters than those of another."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(count, WIDTH, generator=generator, dtype=torch.float64).float().double()
    mix = torch.randn(WIDTH, outputs, generator=generator, dtype=torch.float64)
    y = z @ (mix * MATTERS[:, None])
    noise = 0.5 * torch.randn(count, outputs, generator=generator, dtype=torch.float64)
    return list(zip(z, y + noise + 1, strict=True))


def teach(taught: Any, stream: list[tuple[Tensor, Tensor]]) -> Any:
    for z, y in stream:
        taught.observe(z, y)
    return taught


@functools.cache
def old(method: Method, **values: Any) -> Any:
    """A session that has ended; nothing may teach it more."""
    return teach(readout(method, **values), samples(300))


def weight_of(taught: Any) -> Tensor:
    weight: Tensor = taught.weight if hasattr(taught, "weight") else taught.memory.rows.weight
    return weight


def error(taught: Any, stream: list[tuple[Tensor, Tensor]]) -> float:
    """Summed squared error of predictions made before each sample is learned from."""
    total = 0.0
    for z, y in stream:
        total += float((taught.predict(z) - y).square().sum())
        taught.observe(z, y)
    return total


def successor(earlier: Any, method: Method, session: str = "b", **values: Any) -> Any:
    heir = readout(method, session=session, **values)
    heir.succeed(earlier, [], KINDS)
    return heir


@pytest.mark.parametrize("method", METHODS)
def test_what_mattered_counts_for_more(method: Method) -> None:
    heir = successor(old(method), method)
    weight = weight_of(heir)
    assert float(weight[MATTERS].min()) > 2 * float(weight[~MATTERS].max())


@pytest.mark.parametrize("method", METHODS)
def test_new_units_learn_sooner_with_a_learned_prior(method: Method) -> None:
    """Than with a flat one, though they are others; with ancestors or without."""
    errors = {}
    for prior in ("flat", "learned"):
        heir = successor(old(method, prior=prior), method, prior=prior)
        errors[prior] = error(heir, samples(60, seed=1))
    assert errors["learned"] < 0.8 * errors["flat"]


@pytest.mark.parametrize("method", METHODS)
def test_prior_is_handed_on_through_a_short_session(method: Method) -> None:
    """One that says too little changes nothing of what is known."""
    second = successor(old(method), method)
    third = successor(teach(second, samples(20, seed=1)), method, session="c")
    assert torch.equal(weight_of(third), weight_of(second))


@pytest.mark.parametrize("method", METHODS)
def test_sessions_add_up(method: Method) -> None:
    """What two sessions say alike is held for surer than what one says."""
    second = successor(old(method), method)
    third = successor(teach(second, samples(300, seed=1)), method, session="c")
    ratios = [
        float(w[MATTERS].log().mean() - w[~MATTERS].log().mean())
        for w in (weight_of(second), weight_of(third))
    ]
    assert ratios[1] > ratios[0] > 0


def spoiled(kind: str) -> list[tuple[Tensor, Tensor]]:
    """A session that says nothing about columns."""
    stream = samples(20 if kind == "few samples" else 200)
    nothing = torch.full((3,), float("nan"), dtype=torch.float64)
    if kind == "targets missing":
        return [(z, nothing) for z, _ in stream]
    if kind == "targets silent":
        return [(z, torch.zeros_like(y)) for z, y in stream]
    if kind == "columns silent":
        return [(torch.zeros_like(z), y) for z, y in stream]
    return stream


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "kind", ["few samples", "targets missing", "targets silent", "columns silent"]
)
def test_a_session_that_says_nothing_leaves_the_prior_flat(method: Method, kind: str) -> None:
    heir = successor(teach(readout(method), spoiled(kind)), method)
    assert torch.equal(weight_of(heir), torch.ones(WIDTH, dtype=torch.float64))


@pytest.mark.parametrize("method", METHODS)
def test_outputs_that_never_varied_or_were_mostly_missing_have_no_say(method: Method) -> None:
    stream = samples(300)
    gone = torch.full((1,), float("nan"), dtype=torch.float64)
    silent = torch.zeros(1, dtype=torch.float64)
    wider = [(z, torch.cat((y, gone, silent))) for z, y in stream]
    expected = weight_of(successor(old(method), method))
    found = weight_of(successor(teach(readout(method, outputs=5), wider), method))
    # A window's expert is chosen by errors of all outputs.
    np.testing.assert_allclose(found, expected, rtol=1e-3 if method == "recursive" else 0.2)


@pytest.mark.parametrize("method", METHODS)
def test_flat_prior_asks_for_nothing(method: Method) -> None:
    """And a learned one asks for the columns' kinds: without them it stays as it is."""
    heir = readout(method, session="b")
    heir.succeed(old(method), [])
    flat = successor(old(method, prior="flat"), method, prior="flat")
    for taught in (heir, flat):
        assert torch.equal(weight_of(taught), torch.ones(WIDTH, dtype=torch.float64))


@pytest.mark.parametrize("method", METHODS)
def test_weights_move_with_their_columns(method: Method) -> None:
    heir = teach(successor(old(method), method), samples(30, seed=1))
    index = torch.tensor([3, -1, 17, 0])
    moved = heir.restructured(index)
    expected = weight_of(heir)[[3, 0, 17, 0]]
    expected[1] = 1
    assert torch.equal(weight_of(moved), expected)
    probe = torch.tensor([0.5, 1.0, -0.3, 0.2], dtype=torch.float64)
    moved.observe(probe, torch.zeros(3, dtype=torch.float64))
    assert torch.isfinite(moved.predict(probe)).all()


@pytest.mark.parametrize("forgetting", [1.0, 0.99])
def test_restored_recursive_readout_gives_the_same_bits(forgetting: float) -> None:
    assert_restored("recursive", forgetting=forgetting)


def test_restored_window_gives_the_same_bits() -> None:
    assert_restored("window", window=150)


def assert_restored(method: Method, **values: Any) -> None:
    """Also of what the session after the next one is taught."""
    earlier = old(method, **values)
    taught = teach(successor(earlier, method, **values), samples(140, seed=1))
    restored = readout(method, session="b", **values)
    kept = {name: tensor.clone() for name, tensor in taught.tensors().items()}
    restored.load(kept, copy.deepcopy(taught.meta()))
    for z, y in samples(20, seed=2):
        assert torch.equal(restored.predict(z), taught.predict(z))
        restored.observe(z, y)
        taught.observe(z, y)
    heirs = [successor(earlier, method, session="c", **values) for earlier in (taught, restored)]
    assert torch.equal(weight_of(heirs[0]), weight_of(heirs[1]))
    assert bool((weight_of(heirs[0]) != 1).any())


@pytest.mark.parametrize("forgetting", [1.0, 0.995])
def test_forgotten_prior_comes_back_as_it_was(forgetting: float) -> None:
    """Forgetting feeds the prior back column by column: each its own."""
    heir = successor(old("recursive"), "recursive", forgetting=forgetting)
    z = torch.zeros(WIDTH, dtype=torch.float64)
    for _ in range(1500 if forgetting < 1 else 10):
        heir.observe(z, torch.zeros(3, dtype=torch.float64))
    held = 1 / heir.precision.diagonal()[1:]
    np.testing.assert_allclose(held * weight_of(heir), np.full(WIDTH, 10.0), rtol=0.2)


def test_known_units_go_on_with_the_prior_they_began_with() -> None:
    """All of them: a recursive readout goes on as one regression, and says all of it later."""
    stream = samples(300)
    whole = old("recursive")
    first = teach(readout("recursive"), stream[:200])
    second = readout("recursive")
    second.succeed(first, [(2, 0), (0, 1), (1, 2)], KINDS)
    order = [1, 2, 0]
    teach(second, [(z, y[order]) for z, y in stream[200:]])
    np.testing.assert_allclose(second.weights, whole.weights[:, order], atol=1e-9)
    expected = weight_of(successor(whole, "recursive"))
    np.testing.assert_allclose(weight_of(successor(second, "recursive")), expected, rtol=1e-6)


@pytest.mark.parametrize("similarity", [linear, nonlinear])
@pytest.mark.parametrize("relative", [False, True])
def test_slope_of_the_evidence_is_its_differences(similarity: Any, relative: bool) -> None:
    generator = torch.Generator().manual_seed(4)
    rows = torch.randn(30, 5, generator=generator, dtype=torch.float64)
    seen = Evidence(
        rows=rows,
        targets=torch.randn(30, 2, generator=generator, dtype=torch.float64),
        still=torch.ones(30, 30, dtype=torch.float64),
        similarity=similarity,
        size=5.0,
        noise=0.3,
        counted=torch.tensor([30.0, 40.0], dtype=torch.float64),
        rest=torch.tensor([0.0, 2.0], dtype=torch.float64),
        power=rows.square().mean(0) if relative else None,
    )
    weight = torch.rand(5, generator=generator, dtype=torch.float64) + 0.5
    _, slope = seen.unlikely(weight)
    for column in range(5):
        step = torch.zeros(5, dtype=torch.float64)
        step[column] = 1e-5
        rise = seen.unlikely(weight + step)[0] - seen.unlikely(weight - step)[0]
        assert abs(rise / 2e-5 - float(slope[column])) < 1e-6


@pytest.mark.parametrize("method", METHODS)
def test_weights_beyond_numbers_are_no_number_likely(method: Method) -> None:
    """So that a search that has leapt too far comes back."""
    seen = old(method).evidence()
    value, _ = seen.unlikely(torch.full((WIDTH,), math.inf, dtype=torch.float64))
    assert not np.isfinite(value)


def test_relative_weights_keep_the_columns_power() -> None:
    rows = torch.randn(40, 6, generator=torch.Generator().manual_seed(1))
    targets = torch.zeros(40, 1, dtype=torch.float64)
    none = torch.zeros(1, dtype=torch.float64)
    still = torch.zeros(40, 40, dtype=torch.float64)
    power = rows.double().square().mean(0)
    seen = Evidence(rows, targets, still, linear, 6.0, 0.5, none, none, power)
    weight = torch.rand(6, generator=torch.Generator().manual_seed(2), dtype=torch.float64) + 0.1
    assert float((seen.normal(weight) * power).sum()) == pytest.approx(float(power.sum()))


@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_sums_say_what_the_samples_say(kind: str) -> None:
    """Evidence from sums against the formula over weights and all (working) targets."""
    taught = readout("recursive", outputs=2, kind=kind)
    rows, targets, heights = [], [], []
    for z, y in samples(200, outputs=2):
        before, held = taught.sums, torch.linalg.inv(taught.precision)
        taught.observe(z, (0.3 * y).clamp(-3, 2).exp().round() if kind == "poisson" else y)
        rows.append(torch.cat((z.new_ones(1), z)))
        heights.append((torch.linalg.inv(taught.precision) - held)[0, 0])
        targets.append((taught.sums.products - before.products)[0] / heights[-1])
    z, u, h = torch.stack(rows), torch.stack(targets), torch.stack(heights)[:, None]
    seen = taught.evidence()
    weights = [torch.ones(WIDTH, dtype=torch.float64), torch.linspace(0.2, 3, WIDTH).double()]

    def direct(weight: Tensor) -> float:
        prior = torch.cat((torch.tensor([1e-3], dtype=torch.float64), 10 / weight))
        held = z.T @ (h * z) + torch.diag(prior)
        moment = z.T @ (h * u)
        left = (h * u.square()).sum(0) - (moment * torch.linalg.solve(held, moment)).sum(0)
        spread = torch.logdet(held) - prior.log().sum()
        return float(spread + 100 * left.log().sum()) / 400

    expected = direct(weights[1]) - direct(weights[0])
    found = seen.unlikely(weights[1])[0] - seen.unlikely(weights[0])[0]
    assert abs(found - expected) < 2e-4 * abs(expected)


def test_search_is_deterministic_and_lowers_what_it_minimises() -> None:
    seen = old("window").evidence()
    flat = torch.ones(WIDTH, dtype=torch.float64)
    found = learned(seen, flat, KINDS)
    assert torch.equal(found, learned(seen, flat, KINDS))
    assert seen.unlikely(found)[0] < seen.unlikely(flat)[0] - 0.05


def spec(method: Method, **values: Any) -> ModelSpec:
    return ModelSpec(
        name="prior",
        channels=1,
        shape=(16, 16),
        bank=BankSpec(J=2, L=3, max_order=2),
        features=FeatureSpec(grid=(2, 2, 1), raw_grid=2, calibration=16, lags=1),
        readout=ReadoutSpec(kind="gaussian", method=method, prior="learned", window=160),
        learning=LearningSpec(enabled=False),
        structure=StructureSpec(enabled=False, window=32),
        **values,
    )


def streamed(model: Model, session: str, count: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    model.open_session(session, [f"{session} 1", f"{session} 2"])
    predicted = []
    for number in range(count):
        x = rng.standard_normal((1, 16, 16)).astype(np.float32)
        y = np.array([np.abs(np.diff(x)).mean(), x[0, :8].mean()], dtype=np.float32)
        predicted.append(model.step(Sample(str(number), session, x, y)).prediction.values)
    return predicted


@pytest.mark.parametrize("method", METHODS)
def test_model_learns_the_prior_when_a_session_opens(method: Method) -> None:
    """It is part of the state: a restored model continues to the same bits, sessions later."""
    model = Model(spec(method))
    streamed(model, "one", 90, 0)
    model.open_session("two", ["two 1", "two 2"])
    weight = weight_of(model._sessions["two"].readout)
    assert float(weight.max() / weight.min()) > 1.2
    streamed(model, "two", 70, 1)
    other = copied(model)
    assert other.state_hash() == model.state_hash()
    weight = weight_of(model._sessions["two"].readout)
    before = model.learner.layout
    decision = decided(model)
    for one in (model, other):
        assert len(one.apply(decision)) == 2
    index = model.learner.layout.carried_from(before)
    moved = weight_of(model._sessions["two"].readout)
    assert torch.equal(moved[index >= 0], weight[index[index >= 0]])
    assert bool((moved[index < 0] == 1).all())
    for left, right in zip(
        streamed(model, "three", 5, 2), streamed(other, "three", 5, 2), strict=True
    ):
        np.testing.assert_array_equal(left, right)
    assert other.state_hash() == model.state_hash()


def test_every_column_is_of_the_kinds_that_its_path_says() -> None:
    layout = Model(spec("window")).learner.layout
    kinds = layout.kinds
    assert kinds.shape == (4, layout.width)
    for first in layout.blocks:
        for second in layout.blocks:
            a, b = (kinds[:, block.start : block.start + block.width] for block in (first, second))
            one, two = first.path, second.path
            same_path = (one and one.key) == (two and two.key) and (one is None) == (two is None)
            scales = [p and tuple(f.scale for f in p.filters) for p in (one, two)]
            orders = [None if p is None else p.order for p in (one, two)]
            assert bool((a[0, 0] == b[0, 0]).all()) == (scales[0] == scales[1])
            assert bool(a[1, 0] == b[1, 0]) == same_path
            assert torch.equal(a[2], b[2]) == (orders[0] == orders[1])
            assert bool(a[3, 0] == b[3, 0]) == (first.lag == second.lag)
    for block in layout.blocks:
        own = kinds[:, block.start : block.start + block.width]
        assert len(set(own[2].tolist())) == block.width
        assert all(len(set(own[sort].tolist())) == 1 for sort in (0, 1, 3))


def test_learned_prior_is_refused_where_columns_have_none() -> None:
    with pytest.raises(ConfigError, match=r"readout\.prior"):
        ReadoutSpec(method="factorised", prior="learned")


def test_descent_finds_the_least_of_a_crooked_valley() -> None:
    """Rosenbrock's function, and it never ends above where it began."""

    def valley(x: Tensor) -> tuple[float, Tensor]:
        leaf = x.detach().requires_grad_()
        value = (1 - leaf[0]).square() + 100 * (leaf[1] - leaf[0].square()).square()
        (slope,) = torch.autograd.grad(value, leaf)
        return float(value.detach()), slope

    start = torch.tensor([-1.2, 1.0], dtype=torch.float64)
    heights = [valley(descended(valley, start, count))[0] for count in (1, 5, 20, 80)]
    assert heights == sorted(heights, reverse=True)
    assert heights[0] == valley(start)[0]
    assert heights[-1] < 1e-10


@pytest.mark.parametrize("edge", [float("nan"), float("inf")])
def test_descent_stays_where_the_function_is_a_number(edge: float) -> None:
    def walled(x: Tensor) -> tuple[float, Tensor]:
        return (float(x.square().sum()) if float(x[0]) > 0.1 else edge), 2 * x

    start = torch.tensor([1.0, -2.0], dtype=torch.float64)
    found = descended(walled, start, 30)
    assert float(found[0]) > 0.1
    assert float(found.square().sum()) < 5


def test_descent_stays_where_all_is_flat() -> None:
    start = torch.ones(3, dtype=torch.float64)
    assert torch.equal(descended(lambda x: (1.0, torch.zeros_like(x)), start, 13), start)
