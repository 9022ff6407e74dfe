"""The About sheet: how each number was made, versions and machines, warnings."""

from __future__ import annotations

import math

import pandas as pd

from benchmark.report.xlsx.sheets import Sheets, write


def add_about(sheets: Sheets, about: pd.DataFrame) -> None:
    """Add the rows of section, name, value."""
    sheet = sheets.book.add_worksheet("About")
    for place, (heading, width) in enumerate((("Section", 14), ("Name", 26), ("", 120))):
        sheet.set_column(place, place, width)
        sheet.write_string(0, place, heading, sheets.format("head"))
    last = None
    for row, line in enumerate(about.to_dict("records"), start=1):
        look = {"bad": line["section"] == "Warnings", "first": line["section"] != last and row > 1}
        section = line["section"] if line["section"] != last else ""
        write(sheet, row, 0, section, sheets.format("cell", bold=True, **look))
        write(sheet, row, 1, line["name"], sheets.format("cell", wrap=True, **look))
        write(sheet, row, 2, line["value"], sheets.format("cell", wrap=True, **look))
        sheet.set_row_pixels(row, 20 * math.ceil(len(str(line["value"])) / 112 or 1))
        last = line["section"]
    sheet.freeze_panes(1, 0)
    sheet.set_landscape()
    sheet.fit_to_pages(1, 0)
