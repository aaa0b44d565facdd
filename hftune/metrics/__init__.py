"""Metrics: `evaluate` metric modules that load from this package, so that no network is needed.

One file a metric; the file name is the figure's name. Modules import evaluate: load them when figures are computed,
not before.
"""

from __future__ import annotations

from typing import Any, Protocol

from hftune.registry import Registry


class MetricModule(Protocol):
    """A metric plugin is a module with a subclass of `evaluate.Metric` that takes its rows and returns its name."""

    Metric: type[Any]


registry: Registry[MetricModule] = Registry("hftune.metrics", "metric")


def compute(name: str, *, config_name: str | None = None, options: dict[str, Any] | None = None, **rows: Any) -> float:
    """Return the figure `name` over `rows` (predictions and references, or what the metric's features say)."""
    metric = registry.load(name.replace("_", "-")).Metric(config_name=config_name, keep_in_memory=True)
    return float(metric.compute(**rows, **(options or {}))[name])
