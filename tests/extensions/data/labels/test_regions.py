"""What regions mark, against arrays made otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.draw import disk, polygon2mask

from extensions.data.errors import Kind
from extensions.data.labels.coco import Polygons
from extensions.data.labels.regions import Circle, Pixels, Polygon, read_points

SIZE = (40, 30)  # width, height
SQUARE = np.array([[5.0, 10], [25, 10], [25, 20], [5, 20]])


def test_a_square_of_labelme_has_its_border_and_one_of_coco_its_area() -> None:
    expected = np.zeros((30, 40), bool)
    expected[10:21, 5:26] = True
    np.testing.assert_array_equal(Polygon(SQUARE).draw(SIZE), expected)
    expected[20], expected[:, 25] = False, False
    np.testing.assert_array_equal(Polygons((SQUARE,)).draw(SIZE), expected)


@pytest.mark.parametrize("kind", [Polygon, lambda points: Polygons((points,))])
def test_a_polygon_is_that_of_scikit_image_but_for_its_border(kind) -> None:
    points = np.array([[3.0, 2], [36, 8], [20, 14], [30, 28], [6, 25]])
    drawn, expected = kind(points).draw(SIZE), polygon2mask((30, 40), points[:, ::-1])
    assert drawn.shape == expected.shape
    inner = np.logical_and.reduce([np.roll(expected, shift, (0, 1)) for shift in ((1, 0), (-1, 0), (0, 1), (0, -1))])
    outer = np.logical_or.reduce(
        [np.roll(expected, (y, x), (0, 1)) for x in (-1, 0, 1) for y in (-1, 0, 1)],
    )
    assert not (inner & expected & ~drawn).any()
    assert not (drawn & ~outer).any()


def test_polygons_of_one_annotation_are_joined() -> None:
    drawn = Polygons((SQUARE, SQUARE - [5, 10])).draw(SIZE)
    np.testing.assert_array_equal(drawn, Polygons((SQUARE,)).draw(SIZE) | Polygons((SQUARE - [5, 10],)).draw(SIZE))


def test_a_circle_has_its_radius_and_is_cut_at_the_border() -> None:
    drawn = Circle(np.array([[2.0, 15], [10, 15]])).draw(SIZE)
    expected = np.zeros((30, 40), bool)
    expected[disk((15, 2), 8, shape=(30, 40))] = True
    assert not (expected & ~drawn).any()
    assert drawn.sum() < 1.2 * expected.sum()


def test_pixels_lie_at_their_corner() -> None:
    marks = np.array([[True, False, True]])
    drawn = Pixels(marks, (37, 29)).draw(SIZE)
    assert np.argwhere(drawn).tolist() == [[29, 37], [29, 39]]
    assert Pixels(marks, (37, 29)).misfit(SIZE) is None
    assert Pixels(marks, (38, 29)).misfit(SIZE) == (
        Kind.OUTSIDE_IMAGE,
        "x from 38 to 41 and y from 29 to 30 in an image of 40x30",
    )


def test_points_may_lie_a_pixel_beyond_the_border_as_programs_round() -> None:
    beyond = np.array([[-1.0, -1], [41, -1], [41, 31], [-1, 31]])
    for region in (Polygon(beyond), Polygons((beyond,))):
        assert region.misfit(SIZE) is None
        assert region.draw(SIZE).all()
    for region in (Polygon(beyond * 1.01), Polygons((SQUARE, beyond * 1.01)), Circle(beyond[1:3] * 1.01)):
        found = region.misfit(SIZE)
        assert found is not None
        assert found[0] == Kind.OUTSIDE_IMAGE


def test_two_points_are_no_polygon() -> None:
    assert Polygon(SQUARE[:2]).misfit(SIZE) == (Kind.FEW_POINTS, "2 points")
    assert Polygons((SQUARE, SQUARE[:2])).misfit(SIZE) == (Kind.FEW_POINTS, "2 points")
    assert Polygon(read_points([])).misfit(SIZE) == (Kind.FEW_POINTS, "0 points")


@pytest.mark.parametrize("points", [None, 5, [1, 2], [[1]], [[1, "2"]], [[1, float("nan")]], [[1, True]]])
def test_points_of_anything_else_are_refused(points: object) -> None:
    with pytest.raises(ValueError, match="finite numbers"):
        read_points(points)
