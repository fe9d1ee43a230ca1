"""The measures on corpora and their bars."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.planner import rows, scoring
from benchmarks.planner.rows import Request
from graph.state import Step
from nodes.patterns.planner import PatternPlanner

Plans = dict[str, list[Step]]


@dataclass(frozen=True)
class Measure:
    """A share of rows with its bar; `most` where the bar is an upper one."""

    name: str
    bar: float
    total: int
    score: float
    misses: list[str] = field(repr=False)
    most: bool = False

    @property
    def met(self) -> bool:
        """Whether the bar is reached; a measure without rows says nothing and counts as met."""
        return self.total == 0 or (self.score <= self.bar if self.most else self.score >= self.bar)

    @property
    def bar_text(self) -> str:
        """The bar as printed."""
        return f"{'<=' if self.most else '>='} {self.bar:.1%}".replace(".0%", "%")


def measure(
    planner: PatternPlanner,
    folder: Path,
    *,
    core_only: bool = True,
    keep: Callable[[str], bool] = lambda text: True,
) -> list[Measure]:
    """All measures on the split in `folder`, on the rows whose text `keep` accepts."""

    def kept(requests: Iterable[Request]) -> list[Request]:
        return [row for row in requests if (row.core or not core_only) and keep(row.text)]

    singles, multiple = kept(rows.intents(folder)), kept(rows.several(folder))
    plans = {row.id: planner.read(row.text).steps for row in singles + multiple}
    return [
        *_single_measures(singles, plans),
        *_several_measures(multiple, plans),
        *_calculator_measures(folder, core_only=core_only, keep=keep),
    ]


def _single_measures(requests: list[Request], plans: Plans) -> list[Measure]:
    classes = {
        tool: _share(
            f"tool right: {tool}",
            0.95,
            [row for row in requests if row.kind == tool],
            plans,
            scoring.tool_right,
        )
        for tool in ("calculator", "todo_store", "none")
    }
    mean = sum(each.score for each in classes.values()) / len(classes)
    total = sum(each.total for each in classes.values())
    todos = [row for row in requests if row.kind == "todo_store"]
    named = [row for row in todos if row.plans[0][0].items]
    values = [row for row in requests if row.kind == "calculator" and row.plans[0][0].value]
    none = [row for row in requests if row.kind == "none"]
    like_calculator = [row for row in none if "like_calculator" in row.tags]
    return [
        Measure("tool right, mean of the three classes", 0.97, total, mean, []),
        *classes.values(),
        _share("to-do requests: tool and action right", 0.95, todos, plans, _action_right),
        _share("to-do item right", 0.95, named, plans, _item_right),
        _share("calculator value right", 0.98, values, plans, scoring.exact),
        _false_positives("wrong tool on `none` rows", 0.002, none, plans),
        _false_positives("wrong tool on `none` rows like a sum", 0.02, like_calculator, plans),
    ]


def _several_measures(requests: list[Request], plans: Plans) -> list[Measure]:
    composed = [row for row in requests if row.kind == "composed"]
    hard = [row for row in requests if row.kind.startswith("and_")]
    return [
        _share("several requests (composed): exact", 0.92, composed, plans, scoring.exact),
        _share("hard “and” rows: exact", 0.80, hard, plans, scoring.exact),
    ]


def _calculator_measures(
    folder: Path, *, core_only: bool, keep: Callable[[str], bool]
) -> list[Measure]:
    found = [
        row for row in rows.expressions(folder) if (row.core or not core_only) and keep(row.text)
    ]
    made = []
    for name, of_kind in (
        ("calculator: valid expressions right", [row for row in found if row.value is not None]),
        ("calculator: invalid ones rejected", [row for row in found if row.value is None]),
    ):
        misses = [row.text for row in of_kind if not scoring.expression_right(row.text, row.value)]
        made.append(_measure(name, 1.0, len(of_kind), misses))
    return made


def _action_right(row: Request, steps: list[Step]) -> bool:
    return len(steps) == 1 and scoring.action_right(row.plans[0][0], steps[0])


def _item_right(row: Request, steps: list[Step]) -> bool:
    return len(steps) == 1 and scoring.item_right(row.plans[0][0], steps[0])


def _share(
    name: str,
    bar: float,
    requests: list[Request],
    plans: Plans,
    right: Callable[[Request, list[Step]], bool],
) -> Measure:
    misses = [_shown(row, plans) for row in requests if not right(row, plans[row.id])]
    return _measure(name, bar, len(requests), misses)


def _false_positives(name: str, bar: float, requests: list[Request], plans: Plans) -> Measure:
    wrong = [_shown(row, plans) for row in requests if plans[row.id]]
    score = len(wrong) / len(requests) if requests else 0.0
    return Measure(name, bar, len(requests), score, wrong, most=True)


def _measure(name: str, bar: float, total: int, misses: list[str]) -> Measure:
    return Measure(name, bar, total, 1 - len(misses) / total if total else 1.0, misses)


def _shown(row: Request, plans: Plans) -> str:
    made = "; ".join(f"{step['tool']} {step['input']}" for step in plans[row.id]) or "refused"
    return f"{row.text!r} -> {made}"
