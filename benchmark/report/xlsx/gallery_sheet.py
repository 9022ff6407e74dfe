"""The Gallery sheet: panels of images with what was true and what was decided."""

from __future__ import annotations

import io
from collections.abc import Sequence

from benchmark.report.xlsx.sheets import Sheets, write, write_link
from benchmark.tables.gallery import GalleryImage


def add_gallery(sheets: Sheets, images: Sequence[GalleryImage], *, links: str) -> None:
    """Add panels, one a row, with what was true and what was decided."""
    sheet = sheets.book.add_worksheet("Gallery")
    headings = ("Data set", "Category", "Rank", "Detector", "Shows", "Truth", "Called", "Score", "Threshold",
                "Image, heat map, mask", "File")  # fmt: skip
    widths = (18, 12, 6, 26, 16, 11, 11, 9, 10, 92, 36)
    for place, (heading, width) in enumerate(zip(headings, widths, strict=True)):
        sheet.set_column(place, place, width)
        sheet.write_string(0, place, heading, sheets.format("head"))
    for row, p in enumerate(images, start=1):
        values = (p.dataset, p.category, p.rank, p.detector, p.kind, p.truth, p.called, p.score, p.threshold, None,
                  p.image)  # fmt: skip
        wrong = p.called not in ("", "unsure", p.truth)
        for place, value in enumerate(values):
            look = {"bad": wrong and place == headings.index("Called")}
            number = "0.000" if isinstance(value, float) else ""
            write(sheet, row, place, value, sheets.format("cell", number=number, wrap=True, **look))
        if p.file:
            write_link(sheet, row, headings.index("File"), f"{links}/{p.file}", p.image, sheets.format("link"))
        scale = min(636 / p.size[0], 214 / p.size[1])
        sheet.set_row_pixels(row, 220)
        sheet.insert_image(
            row,
            headings.index("Image, heat map, mask"),
            "panel.jpg",
            {"image_data": io.BytesIO(p.jpeg), "x_scale": scale, "y_scale": scale, "x_offset": 4, "y_offset": 3,
             "object_position": 1, "description": f"{p.kind}: {p.truth}, {p.image}"},
        )  # fmt: skip
    sheet.freeze_panes(1, 0)
    sheet.autofilter(0, 0, len(images), len(headings) - 1)
    sheets.set_up_page(sheet, len(images), headings)
