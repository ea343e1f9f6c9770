"""A family's sheet shows its bank as the transform uses it, whatever the family."""

import io
import math

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes

from scatonline.config import BankSpec
from scatonline.errors import ConfigError, NumericalError
from scatonline.families import FAMILIES
from scatonline.plots import family_sheet
from scatonline.plots.family_plane import _angular_width
from scatonline.scattering import Scattering

PLANE, LINE = (32, 32), (128,)
NAMES = sorted({name for name, _ in FAMILIES})


def spec_of(family: str, dimensions: int) -> BankSpec:
    return BankSpec(family=family, J=2, L=4) if dimensions == 2 else BankSpec(family, J=3, Q=(2,))


def rendered(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=30)
    return file.getvalue()


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text().replace("\u00a0", " ") for text in figure.texts)


@pytest.mark.parametrize("name", NAMES)
def test_plane_sheet_shows_both_parts_of_every_filter(name: str) -> None:
    spec = spec_of(name, 2)
    figure = family_sheet(spec, PLANE)
    tiles = [a for a in figure.axes if a.images and not a.get_xticks().size]
    assert len(tiles) == 2 * spec.J * spec.L
    angles = [a.get_title() for a in tiles if a.get_title()]
    assert angles == ["0°", "45°", "90°", "135°"] * spec.J
    assert rendered(figure).startswith(b"\x89PNG")


@pytest.mark.parametrize("name", NAMES)
def test_line_sheet_shows_every_filter_and_its_spectrum(name: str) -> None:
    spec = spec_of(name, 1)
    figure = family_sheet(spec, LINE)
    bank = Scattering(spec, LINE).bank(1)
    waves, (magnitudes, total) = figure.axes[:-2], figure.axes[-2:]
    assert len(waves) == len(bank)
    drawn = [line for line in magnitudes.lines if line.get_linestyle() == "-"]
    with torch.no_grad():
        own = np.concatenate([psi.numpy() for psi in bank.spectra().values()])
        energy = bank.littlewood_paley().numpy()
    for line, psi in zip(drawn, own, strict=True):
        shown = np.asarray(line.get_ydata())
        np.testing.assert_allclose(shown, abs(psi[1 : len(shown) + 1]), atol=1e-12)
    shown = np.asarray(total.lines[1].get_ydata())
    np.testing.assert_allclose(shown, energy[1 : len(shown) + 1], atol=1e-12)
    assert rendered(figure).startswith(b"\x89PNG")


def test_sum_over_the_plane_is_the_banks_and_its_title_tells_the_range() -> None:
    spec = spec_of("morlet", 2)
    figure = family_sheet(spec, PLANE)
    with torch.no_grad():
        energy = Scattering(spec, PLANE).bank(1).littlewood_paley().numpy()
    (axes,) = [a for a in figure.axes if a.get_title().startswith("A(ω)")]
    shown = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(shown, np.fft.fftshift(energy), atol=1e-12)
    assert axes.get_title() == f"A(ω): {energy.min():.3g} (×) to {energy.max():.4g}"


def test_heading_names_bank_and_parameters_with_units() -> None:
    heading = texts(family_sheet(spec_of("morlet", 2), PLANE))
    assert "morlet, 2-D: J = 2 scales, L = 4 orientations a scale, bound open" in heading
    assert "scale j = 1: theta = 0.785 rad, xi = 1.18 rad/pixel, sigma = 1.6 pixel" in heading
    assert "Q = 2 voices an octave" in texts(family_sheet(spec_of("coiflet", 1), LINE))


def test_a_level_that_a_filter_does_not_reach_is_not_among_its_parameters() -> None:
    spec = BankSpec("daubechies", J=2, Q=(1,), coupling="free")
    heading = texts(family_sheet(spec, LINE))
    assert "scale j = 0: dilation = 1, c_j0 = 1\n" in heading
    assert "scale j = 1: dilation = 1, c_j0 = 1, c_j1 = 1\n" in heading


def test_given_values_go_to_all_filters() -> None:
    spec = spec_of("daubechies", 1)
    figure = family_sheet(spec, LINE, {"c": 3.0})
    bank = Scattering(spec, LINE).bank(1)
    names = list(bank.names)
    values = bank.values().tolist()
    for name, row in zip(names, values, strict=True):
        bank.drop(name.id)
        bank.add(name.scale, [row[0], 3.0], name.id)
    assert "set for all filters: c = 3" in texts(figure)
    with torch.no_grad():
        own = bank.spectra()[0][0].abs().numpy()
    shown = np.asarray(figure.axes[-2].lines[0].get_ydata())
    np.testing.assert_allclose(shown, own[1 : len(shown) + 1], atol=1e-9)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("daubechies", {"c": 40.0}, "c = 40, expected a value between its bounds .* and 10"),
        ("coiflet", {"t": 9.0}, "t = 9, expected a value between"),
        ("morlet", {"xi": 4.0}, "xi = 4 rad/pixel, expected less than 3.14159"),
        ("morlet", {"slant": 0.01}, "slant = 0.01, expected more than 0.05"),
        ("morlet", {"sigma": -1.0}, "sigma = -1.0, expected more than 0"),
        ("morlet", {"c": 1.0}, "'c' is not one of .* theta, xi, sigma, slant"),
    ],
)
def test_values_outside_the_domain_are_refused(
    name: str, values: dict[str, float], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        family_sheet(spec_of(name, 2), PLANE, values)


def test_a_tight_bank_with_a_gap_is_refused() -> None:
    spec = BankSpec(J=2, L=4, bound="tight")
    with pytest.raises(NumericalError, match="add orientations"):
        family_sheet(spec, PLANE, {"theta": 0.0, "sigma": 3.0, "slant": 0.1})


def test_many_filters_are_thinned_out_evenly_and_that_is_said() -> None:
    figure = family_sheet(BankSpec("daubechies", J=1, L=24), PLANE)
    assert "of 24 orientations, 12 are drawn in space" in texts(figure)
    angles = [a.get_title() for a in figure.axes if a.get_title().endswith("°")]
    assert angles == [f"{15 * i}°" for i in range(12)]
    figure = family_sheet(BankSpec("daubechies", J=1, Q=(24,)), LINE)
    assert "of 24 filters of a scale, 12 are drawn over time" in texts(figure)


@pytest.mark.parametrize(("L", "J"), [(1, 1), (2, 4), (8, 2)])
def test_panels_keep_apart(L: int, J: int) -> None:
    """Whatever is drawn beside or below: no panel covers another, all are on the sheet."""
    figure = family_sheet(BankSpec(J=J, L=L), (64, 48))
    boxes = [axes.get_position() for axes in figure.axes]
    for i, a in enumerate(boxes):
        assert 0 <= a.x0 <= a.x1 <= 1
        assert 0 <= a.y0 <= a.y1 <= 1
        for b in boxes[:i]:
            assert a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0


def test_rose_has_a_wedge_at_both_ends_of_every_filters_line() -> None:
    spec = spec_of("lattice", 2)
    figure = family_sheet(spec, PLANE)
    (rose,) = [a for a in figure.axes if isinstance(a, PolarAxes)]
    assert len(rose.patches) == 2 * spec.J * spec.L


def test_width_of_a_direction_is_that_of_its_energy() -> None:
    """A wedge of ±w with even energy has an r.m.s. width of w/√3."""
    omega = [2 * math.pi * np.fft.fftfreq(256)] * 2
    x, y = np.meshgrid(*omega, indexing="ij")
    away = np.arctan2(y, x) - 1.0
    ring = (np.hypot(x, y) < 3.0) & (abs(away) < 0.3)
    assert _angular_width(ring.astype(float), 1.0) == pytest.approx(0.3 / math.sqrt(3), rel=0.01)
    # Read modulo π.
    assert _angular_width(ring.astype(float), 1.0 - math.pi) == pytest.approx(
        0.3 / math.sqrt(3), rel=0.01
    )
    assert _angular_width(np.zeros((8, 8)), 0.0) == 0


def test_sheets_leave_no_trace() -> None:
    settings = dict(mpl.rcParams)
    family_sheet(spec_of("morlet", 2), PLANE)
    assert dict(mpl.rcParams) == settings
