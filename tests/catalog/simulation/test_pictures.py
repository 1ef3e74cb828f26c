"""Rendered pictures, and the looks that are read back from pixels."""

import numpy as np
import pytest

from catalog.pictures import decode_picture
from catalog.simulation.looks import LOOK_DIMENSIONS, measure_looks, pixel_statistics
from catalog.simulation.render import render_picture
from catalog.simulation.silhouettes import SILHOUETTES
from catalog.simulation.vocabulary import COLOURS, PATTERNS, TYPES


def _render(kind: str, colour: str, pattern: str, seed: int = 0) -> bytes:
    return render_picture(kind, colour, pattern, 64, np.random.default_rng(seed))


def test_every_type_has_a_silhouette() -> None:
    assert {kind.silhouette for kind in TYPES} == set(SILHOUETTES)
    assert len({kind.label for kind in TYPES}) == len(TYPES)


@pytest.mark.parametrize("kind", sorted(SILHOUETTES))
def test_pictures_decode_and_show_something(kind: str) -> None:
    pixels = decode_picture(_render(kind, "red", "plain"), 64).astype(int)
    red = (pixels[..., 0] > pixels[..., 1] + 60) & (pixels[..., 0] > pixels[..., 2] + 60)
    assert 0.03 < red.mean() < 0.75


def test_pictures_are_seeded() -> None:
    assert _render("mug", "blue", "floral") == _render("mug", "blue", "floral")
    assert _render("mug", "blue", "floral") != _render("mug", "blue", "floral", seed=1)


def test_every_colour_and_pattern_can_be_told_apart() -> None:
    means = {}
    for colour in COLOURS:
        pixels = decode_picture(_render("cushion", colour, "plain", seed=5), 64)
        means[colour] = pixels[28:36, 28:36].reshape(-1, 3).mean(0)
    for one in COLOURS:
        nearest = min(COLOURS, key=lambda other: float(np.abs(means[one] - np.array(COLOURS[other][1])).sum()))
        assert nearest == one
    plain = decode_picture(_render("cushion", "blue", "plain", seed=5), 64)[20:44, 20:44].astype(float)
    for pattern in PATTERNS:
        pixels = decode_picture(_render("cushion", "blue", pattern, seed=5), 64)[20:44, 20:44].astype(float)
        assert pattern == "plain" or pixels.std((0, 1)).mean() > 1.5 * plain.std((0, 1)).mean()


def test_statistics_are_finite_even_on_one_colour() -> None:
    blank = np.full((2, 48, 48, 3), 255, np.uint8)
    found = pixel_statistics(blank)
    assert found.shape == (2, 32)
    assert np.isfinite(found).all()


def test_looks_follow_the_pixels_and_ignore_broken_pictures() -> None:
    dark = [_render("dress", "navy", "plain", seed) for seed in range(15)]
    light = [_render("dress", "yellow", "plain", seed) for seed in range(15)]
    pictures = [*dark, *light, None, b"broken", light[0][:80]]
    looks = measure_looks(pictures, np.zeros(len(pictures), np.int16), workers=1)
    assert looks.shape == (33, LOOK_DIMENSIONS)
    assert (looks[30:] == 0).all()
    between = np.linalg.norm(looks[:15].mean(0) - looks[15:30].mean(0))
    within = np.linalg.norm(looks[:15] - looks[:15].mean(0), axis=1).mean()
    assert between > within


def test_no_pictures_no_looks() -> None:
    assert not measure_looks([None, None], np.zeros(2, np.int16), workers=1).any()
