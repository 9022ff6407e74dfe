"""A sheet with a threshold that one moves: scores of the leading model, and formulas that count errors and cost."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from xlsxwriter.utility import xl_rowcol_to_cell
from xlsxwriter.worksheet import Worksheet

from benchmark.report.xlsx.sheets import Sheets, write
from benchmark.report.xlsx.threshold_counts import Costs, Counts, Cut, count
from benchmark.tables.decision import Decision, LeadingRow

SHEET = "Threshold"
TABLE = 14  # first column of the scores
HEADINGS = ("Image", "Is", "Kind", "Score", "Called", "So")
INPUTS = ("Threshold", "Upper threshold", "Step", "Cost: defect missed", "Cost: false alarm", "Cost: unsure part",
          "Share of defective parts")  # fmt: skip
LOWER, UPPER, STEP, MISSED, ALARM, UNSURE, RATE = (f"$C${row}" for row in range(4, 11))
HELP = (
    "A part with this score or more is called defective. Try values; everything below follows.",
    "Leave it empty for two verdicts. Between both thresholds a part is unsure.",
    "How far the rows below differ.",
    "Of one defective part called good; the cost is worked out once all three of missed, false alarm, share are there.",
    "Of one good part called defective, in the same currency.",
    "Of one part that a person looks at; empty is 0.",
    "On the line, such as 0.4%; among test images it is another.",
)
RESULTS = ("", "Threshold", "Missed", "of defects", "95 % from", "to", "False alarms", "of good parts", "95 % from",
           "to", "Unsure", "Cost of 1,000")  # fmt: skip
STEPS = {"2 steps lower": -2, "1 step lower": -1, "chosen": 0, "1 step higher": 1, "2 steps higher": 2}
FIRST = 13  # row of the headings of the results


def add_thresholds(sheets: Sheets, decisions: Sequence[Decision]) -> None:
    """Add a sheet for each data set whose leading row has scores; the first is called Threshold."""
    names: list[str] = []
    for decision in decisions:
        if not decision.leading or decision.leading[0].scores.empty:
            continue
        names.append(_name(decision.dataset, names))
        _add(sheets, names[-1], decision)


def _name(dataset: str, taken: Sequence[str]) -> str:
    """A name that a spreadsheet program takes: 31 characters, some forbidden, none twice."""
    if not taken:
        return SHEET
    plain = f"{SHEET} " + re.sub(r"[\[\]:*?/\\']", "-", dataset)
    found, number = plain[:31].rstrip(), 2
    while found.lower() in (name.lower() for name in taken):
        found, number = f"{plain[:28].rstrip()} {number}", number + 1
    return found


@dataclass(frozen=True)
class _Scores:
    """The table of scores and where it stands."""

    frame: pd.DataFrame

    @property
    def last(self) -> int:
        """Row of the last image, from 1."""
        return 1 + len(self.frame)

    def column(self, heading: str) -> str:
        """Range of a column, for a formula."""
        place = TABLE + HEADINGS.index(heading)
        cells = (xl_rowcol_to_cell(row, place, row_abs=True, col_abs=True) for row in (1, self.last - 1))
        return ":".join(cells)


def _add(sheets: Sheets, name: str, decision: Decision) -> None:
    leading = decision.leading[0]
    sheet = sheets.book.add_worksheet(name)
    scores = _Scores(_rounded(leading.scores))
    cut = _start(leading, scores.frame["score"])
    costs = Costs.of(decision.points[0].requirement.cost if decision.points else None)
    _lay_out(sheets, sheet, decision, leading)
    _add_inputs(sheets, sheet, cut, costs)
    _add_results(sheets, sheet, scores, cut, costs)
    _add_scores(sheets, sheet, scores, cut)


def _rounded(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores with 12 digits: COUNTIFS compares texts of 15, and a score must equal itself there."""
    return scores.assign(score=[float(f"{score:.12g}") for score in scores["score"]]).sort_values(
        "score", ascending=False, kind="stable"
    )


def _start(leading: LeadingRow, scores: pd.Series) -> Cut:
    """The decision's thresholds, or the median score; a step of about a fiftieth of the scores' range."""
    found = leading.thresholds
    lower = float(f"{(float(scores.median()) if found is None else found.lower):.12g}")
    upper = None if found is None or found.upper <= found.lower else float(f"{found.upper:.12g}")
    return Cut(lower=lower, upper=upper, step=float(f"{(scores.max() - scores.min()) / 50:.1g}"))


def _lay_out(sheets: Sheets, sheet: Worksheet, decision: Decision, leading: LeadingRow) -> None:
    sheet.hide_gridlines(2)
    for first, last, pixels in ((0, 0, 12), (1, 1, 170), (2, 2, 110), (3, 12, 88), (13, 13, 24), (TABLE, TABLE, 300),
                                (TABLE + 1, TABLE + len(HEADINGS) - 1, 92)):  # fmt: skip
        sheet.set_column_pixels(first, last, pixels)
    sheet.write_string(0, 1, f"{decision.dataset}: move the threshold of {leading.label}", sheets.format("title"))
    source = "" if leading.thresholds is None else f" It starts where the export has it: {leading.thresholds.source}."
    told = f"Change a yellow cell; counts, rates and cost follow.{source} Run {leading.key}."
    sheet.write_string(1, 1, told, sheets.format("caption", oneline=True))
    sheet.set_row_pixels(0, 32)
    sheet.set_landscape()
    sheet.set_paper(9)  # A4
    sheet.fit_to_pages(1, 0)
    sheet.print_area(0, 0, FIRST + len(STEPS) + 1, 12)


def _add_inputs(sheets: Sheets, sheet: Worksheet, cut: Cut, costs: Costs) -> None:
    values = (cut.lower, cut.upper, cut.step, costs.missed, costs.false_alarm, costs.unsure, costs.defect_rate)
    for row, (label, value, help_) in enumerate(zip(INPUTS, values, HELP, strict=True), start=3):
        number = "0.0##%" if row == 9 else "General"
        write(sheet, row, 1, label, sheets.format("cell", bold=row == 3))
        write(sheet, row, 2, value, sheets.format("input", number=number))
        write(sheet, row, 3, help_, sheets.format("caption", oneline=True, indent=True))
        limits = {"criteria": "between", "minimum": 0, "maximum": 1} if row == 9 else {"criteria": ">=", "value": 0}
        if row >= 5:
            error = {"error_title": label, "error_message": "A number from 0 on; a share up to 1 (100%)."}
            sheet.data_validation(row, 2, row, 2, {"validate": "decimal", **limits, **error})


def _add_results(sheets: Sheets, sheet: Worksheet, scores: _Scores, cut: Cut, costs: Costs) -> None:
    sheet.set_row_pixels(FIRST - 1, 40)
    for place, heading in enumerate(RESULTS, start=1):
        sheet.write_string(FIRST - 1, place, heading, sheets.format("head", center=True))
    for line, (label, steps) in enumerate(STEPS.items()):
        row = FIRST + line
        moved = cut.moved(steps)
        found = count(scores.frame, moved, costs)
        look = {"bold": not steps, "center": True}
        sheet.write_string(row, 1, label, sheets.format("boxed", bold=not steps))
        for place, (formula, value, number) in enumerate(_formulas(scores, row, steps, found, moved), start=2):
            sheet.write_formula(row, place, formula, sheets.format("boxed", number=number, **look), value)
    n = scores.frame["label"].value_counts()
    told = f"Of {n.get(1, 0):,} defective and {n.get(0, 0):,} good test images. 95 %: Clopper-Pearson."
    sheet.write_string(FIRST + len(STEPS) + 1, 1, told, sheets.format("caption", oneline=True))


def _formulas(scores: _Scores, row: int, steps: int, found: Counts, cut: Cut) -> list[tuple[str, float | str, str]]:
    """Formula, its value now and its number format, for each column of a row of results."""
    is_, score = scores.column("Is"), scores.column("Score")
    here = {name: f"{letter}{row + 1}" for name, letter in zip(
        ("lower", "missed", "missed_rate", "alarms", "alarm_rate"), "CDEHI", strict=True)}  # fmt: skip
    upper = f"IF(ISNUMBER({UPPER}),MAX({UPPER}+({steps})*{STEP},{here['lower']}),{here['lower']})"
    n_bad, n_good = f'COUNTIFS({is_},"defective")', f'COUNTIFS({is_},"good")'
    between = f'(COUNTIFS({is_},"{{0}}",{score},">="&{here["lower"]})-COUNTIFS({is_},"{{0}}",{score},">="&{upper}))'
    unsure_rates = [f"{between.format(kind)}/MAX({n},1)" for kind, n in (("defective", n_bad), ("good", n_good))]
    cost = (
        f"1000*({RATE}*({here['missed_rate']}*{MISSED}+{unsure_rates[0]}*N({UNSURE}))"
        f"+(1-{RATE})*({here['alarm_rate']}*{ALARM}+{unsure_rates[1]}*N({UNSURE})))"
    )
    return [
        (f"={LOWER}+({steps})*{STEP}", cut.lower, "General"),
        (f'=COUNTIFS({is_},"defective",{score},"<"&{here["lower"]})', found.missed, "0"),
        (f"=IF({n_bad}=0,\"\",{here['missed']}/{n_bad})", found.missed_rate, "0.0%"),
        *_interval(here["missed"], n_bad, found.missed_interval),
        (f'=COUNTIFS({is_},"good",{score},">="&{upper})', found.false_alarms, "0"),
        (f"=IF({n_good}=0,\"\",{here['alarms']}/{n_good})", found.alarm_rate, "0.0%"),
        *_interval(here["alarms"], n_good, found.alarm_interval),
        (f"={between.format('defective')}+{between.format('good')}", found.unsure, "0"),
        (f'=IF(COUNT({MISSED},{ALARM},{RATE})<3,"",{cost})', found.cost, "#,##0.0"),
    ]  # fmt: skip


def _interval(k: str, n: str, values: tuple[float, float]) -> list[tuple[str, float | str, str]]:
    """Clopper-Pearson; BETAINV is known to programs of any age."""
    low = f"=IF({k}=0,0,BETAINV(0.025,{k},{n}-{k}+1))"
    high = f"=IF({k}={n},1,BETAINV(0.975,{k}+1,{n}-{k}))"
    return [(low, values[0], "0.0%"), (high, values[1], "0.0%")]


def _add_scores(sheets: Sheets, sheet: Worksheet, scores: _Scores, cut: Cut) -> None:
    for place, heading in enumerate(HEADINGS, start=TABLE):
        sheet.write_string(0, place, heading, sheets.format("head"))
    cell, number = sheets.format("cell"), sheets.format("cell", number="0.0000")
    upper = f"IF(ISNUMBER({UPPER}),MAX({UPPER},{LOWER}),{LOWER})"
    is_, score, called = (TABLE + HEADINGS.index(name) for name in ("Is", "Score", "Called"))
    for row, line in enumerate(scores.frame.to_dict("records"), start=1):
        truth = ("good", "defective")[int(line["label"])]
        verdict = cut.verdict(line["score"])
        here, said, true = (xl_rowcol_to_cell(row, place) for place in (score, called, is_))
        write(sheet, row, TABLE, _image(line), cell)
        write(sheet, row, is_, truth, cell)
        write(sheet, row, TABLE + 2, line.get("kind"), cell)
        write(sheet, row, score, line["score"], number)
        formula = f'=IF({here}>={upper},"defective",IF({here}>={LOWER},"unsure","good"))'
        sheet.write_formula(row, called, formula, cell, verdict)
        outcome = f'=IF({said}="unsure","unsure",IF({said}={true},"right",IF({true}="good","false alarm","missed")))'
        wrong = "false alarm" if truth == "good" else "missed"
        value = "unsure" if verdict == "unsure" else "right" if verdict == truth else wrong
        sheet.write_formula(row, called + 1, outcome, cell, value)
    sheet.autofilter(0, TABLE, scores.last - 1, TABLE + len(HEADINGS) - 1)


def _image(line: dict) -> str:
    category = line.get("category")
    return f"{category}: {line['image']}" if isinstance(category, str) and category else str(line["image"])
