"""How a check is told: one object for programs, or text that fits 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from hftune.preflight.estimate import Estimate
from hftune.tasks import Notice

WIDTH = 80
ORDER = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True)
class Report:
    """All that a check found.

    `splits`: split -> examples. `classes`: class -> split -> examples (empty where there are no classes).
    `truncated`: class -> share of its train texts that lose their end. `unknown`: share of train's tokens that the
    vocabulary does not know, None before they are looked at. `parameters`: total and trained. `estimate`:
    None where nothing was measured.
    """

    recipe: str
    summary: str
    findings: Sequence[Notice] = ()
    splits: Mapping[str, int] = field(default_factory=dict)
    classes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    truncated: Mapping[str, float] = field(default_factory=dict)
    unknown: float | None = None
    parameters: Mapping[str, int] = field(default_factory=dict)
    estimate: Estimate | None = None

    @property
    def ok(self) -> bool:
        """True when nothing was found that would keep the recipe from training."""
        return not any(finding.level == "error" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return what --json prints."""
        record = {"ok": self.ok, **asdict(self)}
        if self.estimate is not None:
            record["estimate"]["seconds"] = self.estimate.seconds
        return record


def render(report: Report) -> str:
    """Return the report as text, no line longer than 80 characters unless one word is."""
    blocks = [_fill(report.summary)]
    if report.splits:
        blocks.append(_examples(report))
    if report.truncated:
        worst = sorted(report.truncated.items(), key=lambda item: -item[1])[:10]
        shares = ", ".join(f"{name} {share:.1%}" for name, share in worst)
        blocks.append(_fill(f"lose their end  {shares}", "    "))
    if report.unknown is not None:
        blocks.append(f"unknown tokens  {report.unknown:.2%} of train")
    if report.parameters:
        total, trained = report.parameters["total"], report.parameters["trained"]
        share = 100 * trained / max(1, total)
        blocks.append(f"parameters  {total:,} in all, {trained:,} trained ({share:.3g}%)")
    if report.estimate:
        blocks.append("\n".join(_fill(line, "            ") for line in report.estimate.describe()))
    found = sorted(report.findings, key=lambda finding: ORDER[finding.level])
    if found:
        blocks.append("\n".join(_finding(finding) for finding in found))
    blocks.append(_verdict(report))
    return "\n\n".join(blocks)


def _examples(report: Report) -> str:
    """Return a table: a row a class (or one row in all), a column a split."""
    names = list(report.splits)
    rows = [(name, [counts.get(split, 0) for split in names]) for name, counts in report.classes.items()]
    shown, hidden = rows[:20], rows[20:]
    if hidden:
        shown.append((f"({len(hidden)} more)", [sum(counts[i] for _, counts in hidden) for i in range(len(names))]))
    # Rows whose label is missing are in no class, so that the last row may be more than the sum above it.
    shown.append(("all", list(report.splits.values())))
    width = min(30, max(len("examples"), *(len(name) for name, _ in shown)))
    lines = ["".join([f"{'examples':<{width}}", *(f"{split:>13}" for split in names)])]
    lines += ["".join([f"{_clip(name, width):<{width}}", *(f"{count:>13,}" for count in counts)])
              for name, counts in shown]  # fmt: skip
    return "\n".join(lines)


def _finding(finding: Notice) -> str:
    text = _fill(f"{finding.level}: {finding.message} [{finding.code}]", "  ")
    return f"{text}\n{_fill('  ' + finding.hint, '  ')}" if finding.hint else text


def _verdict(report: Report) -> str:
    errors = sum(finding.level == "error" for finding in report.findings)
    warnings = sum(finding.level == "warning" for finding in report.findings)
    counts = [f"{n} {word}{'s' if n > 1 else ''}" for n, word in ((errors, "error"), (warnings, "warning")) if n]
    return f"{'OK' if report.ok else 'Not ready'}{': ' if counts else ''}{', '.join(counts)}"


def _clip(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _fill(text: str, indent: str = "") -> str:
    """Wrap one paragraph; `indent` stands before every line but the first."""
    return textwrap.fill(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
