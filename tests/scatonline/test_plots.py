"""What the pictures show is what the model holds."""

import io
import math
from dataclasses import dataclass, replace

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes

from scatonline.config import BankSpec, FeatureSpec, ModelSpec
from scatonline.families import FAMILIES
from scatonline.model import Model
from scatonline.plots import ScoreCurve, filters_sheet, score_over_time
from scatonline.plots.banks import rebuilt_banks, spectra_by_id
from scatonline.scattering import Scattering


@dataclass(frozen=True)
class Value:
    value: float


@dataclass(frozen=True)
class Report:
    id: str
    layer: int
    scale: int
    parameters: dict[str, Value]


PLANE = ModelSpec("plane", 1, (32, 32), bank=BankSpec(J=2, L=4))
BANKS = [
    *(BankSpec(family=name, J=2, L=3, Q=(1,)) for name in dict.fromkeys(n for n, _ in FAMILIES)),
    BankSpec(family="daubechies", J=2, L=3, Q=(1,), coupling="free"),
]
LINE = ModelSpec("line", 1, (128,), bank=BankSpec(J=4, Q=(2, 1)))


def reports(transform: Scattering) -> list[Report]:
    found = []
    for layer in range(1, transform.spec.max_order + 1):
        bank = transform.bank(layer)
        for name, row in zip(bank.names, bank.values().tolist(), strict=True):
            values = {p.name: Value(v) for p, v in zip(bank.family.parameters, row, strict=True)}
            found.append(Report(name.id, name.layer, name.scale, values))
    return found


def moved(spec: ModelSpec) -> tuple[list[Report], list[Report], Scattering]:
    """Filters before and after: all moved a little, one of layer 1 dropped, one added."""
    transform = Scattering(spec.bank, spec.shape)
    before = reports(transform)
    bank = transform.bank(1)
    bank.theta.data += 0.05
    values = bank.values()[bank.row("1/j1/0")].tolist()
    transform.drop(1, "1/j1/1")
    transform.add(1, 1, [0.9 * value for value in values])
    return before, reports(transform), transform


def rendered(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=40)
    return file.getvalue()


@pytest.mark.parametrize("spec", [PLANE, LINE], ids=["2-D", "1-D"])
def test_filters_drawn_are_those_of_the_model(spec: ModelSpec) -> None:
    """A bank rebuilt from reports has the model's own ψ̂, bound and all, after moves too."""
    _, after, transform = moved(spec)
    for layer, bank in enumerate(rebuilt_banks(spec, after), 1):
        with torch.no_grad():
            own, shown = spectra_by_id(transform.bank(layer)), spectra_by_id(bank)
        assert shown.keys() == own.keys()
        for name, psi in own.items():
            np.testing.assert_allclose(shown[name], psi, atol=1e-9)


@pytest.mark.parametrize("dimensions", [1, 2])
@pytest.mark.parametrize("bank", BANKS, ids=lambda bank: f"{bank.family}-{bank.coupling}")
def test_filters_of_every_family_are_drawn_from_their_reports(
    bank: BankSpec, dimensions: int
) -> None:
    """As a model reports them: without parameters that a filter does not depend on.

    Directions are reported modulo π, half a turn of which mirrors a spectrum: to real signals the
    same filter.
    """
    shape = (16, 16) if dimensions == 2 else (64,)
    features = FeatureSpec(orders=(0, 1))
    spec = ModelSpec("model", 1, shape, bank=replace(bank, max_order=1), features=features)
    model = Model(spec)
    before = model.filters()
    (own,) = model.learner.banks()
    own.theta.data += 0.1
    after = model.filters()
    (rebuilt,) = rebuilt_banks(spec, after)
    with torch.no_grad():
        expected, shown = spectra_by_id(own), spectra_by_id(rebuilt)
    axes = tuple(range(dimensions))
    for name, psi in expected.items():
        mirrored = np.roll(np.flip(psi, axes), (1,) * dimensions, axes)
        assert min(abs(shown[name] - p).max() for p in (psi, mirrored)) < 1e-9
    rendered(filters_sheet(spec, before, after))


def test_plane_sheet_tells_kept_dropped_and_new() -> None:
    before, after, _ = moved(PLANE)
    figure = filters_sheet(PLANE, before, after)
    axes = [a for a in figure.axes if not isinstance(a, PolarAxes)]
    # Three scales (1/j0, 1/j1, 2/j1) of four filters twice, and one more column for the new one.
    assert len(axes) == 2 * (4 + 5 + 4)
    assert sum(bool(a.images) for a in axes) == len(before) + len(after)
    captions = [a.get_xlabel() for a in axes]
    assert captions.count("dropped") == 1
    assert sum(a.patch.get_hatch() == "////" for a in axes) == 1
    assert sum(caption.startswith("new") for caption in captions) == 1
    assert sum("ω×" in caption for caption in captions) == len(before) - 1
    assert rendered(figure).startswith(b"\x89PNG")


def test_turn_below_a_tile_is_the_shorter_one_modulo_pi() -> None:
    before, _, _ = moved(PLANE)
    turned = [
        replace(r, parameters={**r.parameters, "theta": Value(r.parameters["theta"].value + 3.0)})
        for r in before
    ]
    figure = filters_sheet(PLANE, before, turned)
    captions = [a.get_xlabel() for a in figure.axes if "ω×" in a.get_xlabel()]
    expected = f"{math.degrees(3.0 - math.pi):+.1f}°"
    assert {caption.split()[0] for caption in captions} == {expected}


def test_rose_shows_every_filter_at_both_ends_of_its_line() -> None:
    before, after, _ = moved(PLANE)
    figure = filters_sheet(PLANE, before, after)
    rose = next(a for a in figure.axes if isinstance(a, PolarAxes))
    marks = {str(c.get_label()): len(np.asarray(c.get_offsets())) for c in rose.collections}
    assert marks == {"before": 14, "after": 14, "new": 2, "dropped": 2}


def test_line_sheet_shows_magnitudes_and_sums_within_the_bound() -> None:
    before, after, transform = moved(LINE)
    figure = filters_sheet(LINE, before, after, rate_hz=1000.0)
    panels = np.array(figure.axes).reshape(2, 3)
    labels = [str(line.get_label()) for line in panels[0, 1].lines]
    assert labels.count("new") == 1
    assert labels.count("dropped") == 1
    assert len(panels[0, 0].lines) == sum(r.layer == 1 for r in before)
    shown = np.asarray(panels[0, 2].lines[2].get_ydata())
    own = transform.bank(1).littlewood_paley().numpy()
    np.testing.assert_allclose(shown, own[1 : len(shown) + 1], atol=1e-9)
    assert shown.max() <= 1 + 1e-9
    assert panels[1, 0].get_xlabel() == "frequency (Hz)"
    assert rendered(figure).startswith(b"\x89PNG")


def test_model_without_scattering_has_nothing_to_show() -> None:
    """The filters are there all the same: the bank exists whether its output is used or not."""
    spec = replace(LINE, features=FeatureSpec(orders=(), raw_grid=16))
    before, after, _ = moved(spec)
    assert filters_sheet(spec, before, after).axes


def test_scores_are_drawn_as_given() -> None:
    at = np.arange(10, 100, 10)
    curves = {
        name: ScoreCurve(running=at / scale, recent=at / scale + 0.1)
        for name, scale in (("learned", 100.0), ("mean", 200.0))
    }
    figure = score_over_time(
        at, curves, "correlation", 30, [(0, "day 1"), (50, "day 2")], [(40, "drop"), (60, "add")]
    )
    running, recent = figure.axes
    np.testing.assert_array_equal(running.lines[0].get_ydata(), curves["learned"].running)
    np.testing.assert_array_equal(recent.lines[1].get_ydata(), curves["mean"].recent)
    assert [text.get_text() for text in running.texts] == ["day 1", "day 2"]
    assert recent.get_title("right") == "structure moves: ▲ 1 added, ▼ 1 dropped"
    assert rendered(figure).startswith(b"\x89PNG")


def test_pictures_leave_no_trace() -> None:
    """No global style changes and no figure is registered anywhere."""
    before, after, _ = moved(PLANE)
    settings = dict(mpl.rcParams)
    filters_sheet(PLANE, before, after)
    assert dict(mpl.rcParams) == settings
