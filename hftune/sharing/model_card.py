"""The model card: a fixed template filled with what is known of a run. Every value in it is text and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hftune.figures import count, duration, figure, many
from hftune.recipe.load import dump_recipe
from hftune.recipe.schema import Recipe
from hftune.runs.consumption import Consumed
from hftune.sanitize import sanitize
from hftune.sharing import usage
from hftune.sharing.base import name_on_hub, public_base
from hftune.sharing.facts import Facts, Kept, data_name, hub_data, public_recipe
from hftune.sharing.markdown import block, table, text
from hftune.starters import is_starter
from hftune.tasks._labels import MULTI, REGRESSION

TITLE = "README.md"
MOST_CLASSES = 10  # a confusion matrix of more is no table to read
_WHAT = {
    "text-classification": "gives a text one of these labels",
    "text-generation": "continues texts",
    "fill-mask": "guesses masked words",
}
_METRICS = {"pearson": "pearsonr", "spearman": "spearmanr"}  # where the Hub's name for a metric is another


@dataclass(frozen=True)
class Published:
    """What is published: the repository's name, how the weights are stored, and the licence where it is known."""

    repo: str
    weights: usage.Weights
    licence: str | None


def model_card(facts: Facts, published: Published, loading: usage.Loading) -> str:
    """Return the whole README.md: metadata for the Hub, then the card."""
    sections = [
        _title(facts, published),
        "## How to load it\n\n"
        f"`{usage.requirements(loading)}`"
        + (" (and `pip install hftune`: the architecture is its own)" if _is_own(loading) else "")
        + "\n\n"
        + block(usage.lines(loading), "python"),
        "## How good it is\n\n" + "\n\n".join(_quality(facts)),
        *_compression(facts),
        "## Data\n\n" + "\n\n".join(_data(facts)),
        ("## Training\n\n" if facts.learned else "## How it was made\n\n") + "\n\n".join(_training(facts)),
        "## Limits\n\n" + "\n".join(f"- {line}" for line in _limits(facts)),
        f"## Recipe\n\n{_again(facts)}\n\n" + block(dump_recipe(public_recipe(facts.recipe)), "yaml"),
    ]
    return f"---\n{_metadata(facts, published)}---\n\n" + "\n\n".join(sections) + "\n"


def _metadata(facts: Facts, published: Published) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    recipe, base = facts.recipe, None if facts.from_scratch else name_on_hub(facts.recipe.model)
    results = []
    if facts.score is not None:
        for name, value in facts.score.metrics.items():
            if value["value"] is None:
                continue
            results.append(
                EvalResult(
                    task_type=recipe.task.name,
                    dataset_type=hub_data(recipe.data) or _flat(data_name(recipe.data)),
                    dataset_name=_flat(data_name(recipe.data)),
                    dataset_config=recipe.data.subset,
                    dataset_split=facts.score.split,
                    dataset_revision=recipe.data.revision,
                    metric_type=_METRICS.get(name, name),
                    metric_value=round(value["value"], 6),
                    metric_name=f"{name}{_interval(value)}",
                )
            )
    used = facts.consumed
    data = ModelCardData(
        model_name=published.repo.partition("/")[2],
        license=published.licence,
        base_model=base,
        base_model_relation=None if base is None else _relation(facts, published),
        library_name="peft"
        if published.weights == "adapter"
        else "onnx"
        if facts.kept == "onnx-int8"
        else "transformers",
        pipeline_tag=recipe.task.name,
        datasets=[hub_data(recipe.data)] if hub_data(recipe.data) else None,
        tags=["hftune", *_tags(facts)],
        eval_results=results or None,
        co2_eq_emissions=None if used is None else _emissions(facts, used),
    )
    return str(data.to_yaml()).strip("\n") + "\n"


def _relation(facts: Facts, published: Published) -> str:
    """Return what the Hub calls the way from the base model to this one."""
    if facts.recipe.compress is not None and facts.recipe.compress.name == "quantize":
        return "quantized"
    return "adapter" if published.weights == "adapter" else "finetune"


def _emissions(facts: Facts, used: Consumed) -> dict[str, str | float]:
    """Return what the Hub shows of CO2: in grams."""
    found: dict[str, str | float] = {
        "emissions": round(used.used.co2_g, 6),
        "source": "codecarbon" if used.used.counted else "codecarbon, an estimate",
    }
    if facts.learned:
        found["training_type"] = "pre-training" if facts.from_scratch else "fine-tuning"
    if country := facts.recipe.energy.country:
        found["geographical_location"] = country
    if hardware := facts.environment.get("processor"):
        found["hardware_used"] = _flat(str(hardware))
    return found


def _title(facts: Facts, published: Published) -> str:
    recipe = facts.recipe
    what = _WHAT[recipe.task.name]
    if facts.problem_type == MULTI:
        what = "gives a text any of these labels"
    if facts.problem_type == REGRESSION:
        what = "gives a text a number"
    names = f": {', '.join(map(text, facts.labels))}" if facts.labels and facts.problem_type != REGRESSION else ""
    rows = [
        ("what it does", f"{what}{names}"),
        ("made from", _origin(facts)),
        ("licence", text(published.licence) if published.licence else "not stated: ask whoever published it"),
        ("parameters", count(facts.parameters)),
        ("weights", f"{_WEIGHTS[published.weights].format(_KEPT[facts.kept])}"),
    ]
    if recipe.description:
        rows.insert(0, ("purpose", text(recipe.description)))
    body = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"# {text(published.repo.partition('/')[2])}\n\n| | |\n|---|---|\n{body}"


def _origin(facts: Facts) -> str:
    recipe, base = facts.recipe, public_base(facts.recipe.model)
    new = f"nothing: a new {text(facts.model_type)} with random weights"
    began = new if base is None or facts.from_scratch else text(base)
    if recipe.compress is None:
        return began if began == new else f"{began}, {_method(facts)}"
    if recipe.compress.options.get("student") is not None:
        return f"{new}, distilled from the run {text(facts.parent)}"
    made = _MADE.get(recipe.compress.name, f"made smaller by {text(recipe.compress.name)}")
    return f"{began}, by way of the run {text(facts.parent)}, {made}"


_MADE = {"distill": "distilled", "prune": "pruned", "quantize": "quantized"}
_WEIGHTS = {
    "whole": "all of them, {}",
    "adapter": "the adapter alone, {}: it stands on its base model",
    "merged": "all of them, {}: the adapter was added into its base model",
}
_KEPT: dict[Kept, str] = {
    "float32": "float32 safetensors",
    "bfloat16": "bfloat16 safetensors",
    "torchao-int8": "safetensors, linear layers in int8 by torchao",
    "onnx-int8": "an ONNX graph with int8 matrices and embeddings",
}


def _tags(facts: Facts) -> list[str]:
    recipe = facts.recipe
    tags = [recipe.method.name] if recipe.method.name != "full" else []
    return [*tags, recipe.compress.name] if recipe.compress is not None else tags


def _is_own(loading: usage.Loading) -> bool:
    """Whether the lines import an architecture of hftune's: a graph holds it itself."""
    return bool(loading.imports) and loading.kept != "onnx-int8"


def _compression(facts: Facts) -> Iterator[str]:
    """Yield the section that tells what a compressed model is made of, and what that cost."""
    compress = facts.recipe.compress
    if compress is None:
        return
    how = str(compress.options.get("format") or compress.name)
    made = f"Made by {text(compress.name)} ({text(how)})" if how != compress.name else f"Made by {text(compress.name)}"
    said = [f"{made} from the run {text(facts.parent)}." if facts.parent else f"{made}."]
    if facts.compared is not None and facts.step is None:
        said.append(block("\n".join(facts.compared.lines()), ""))
    yield "## Compression\n\n" + "\n\n".join(said)


def _method(facts: Facts) -> str:
    name, options = facts.recipe.method.name, facts.recipe.method.options
    said = ", ".join(f"{key} {value}" for key, value in options.items() if key in ("r", "lora_alpha"))
    words = {"full": "tuned in full", "lora": "tuned with LoRA", "head": "with a new head, its body as it was"}
    return words.get(name, f"tuned by {text(name)}") + (f" ({text(said)})" if said else "")


def _quality(facts: Facts) -> Iterator[str]:
    if facts.score is None and not facts.figures:
        yield "The rows it is to be scored on were not at hand when this was published: it has no figures."
        return
    if facts.score is None:
        yield "The rows it is to be scored on were not at hand when this was published; in training it had:"
        splits = list(facts.figures)
        names = list(dict.fromkeys(name for values in facts.figures.values() for name in values))
        rows = [[name, *(figure(facts.figures[split].get(name)) for split in splits)] for name in names]
        yield table(["", *splits], rows, numbers=len(splits))
        return
    score = facts.score
    yield f"On {many(score.rows, 'row')} of the {text(score.split)} split; 95% intervals over resamples of them."
    yield table(["", "value", "95% interval"], [_metric_row(*item) for item in score.metrics.items()], numbers=2)
    if score.calibration is not None:
        yield f"Expected calibration error (15 bins): {figure(score.calibration['error'])}; 0 is best."
    if score.per_class is not None:
        yield table(
            ["label", "precision", "recall", "F1", "rows"],
            [
                [name, *(f"{row[key]:.3f}" for key in ("precision", "recall", "f1")), f"{row['support']:,}"]
                for name, row in score.per_class.items()
            ],
            numbers=4,
        )
    if score.confusion is not None and len(score.confusion["labels"]) <= MOST_CLASSES:
        labels = score.confusion["labels"]
        rows = [[name, *(f"{n:,}" for n in row)] for name, row in zip(labels, score.confusion["matrix"], strict=True)]
        yield "What each label (in its row) was taken for:"
        yield table(["", *labels], rows, numbers=len(labels))


def _metric_row(name: str, value: dict[str, float | None]) -> list[str]:
    interval = "" if value["low"] is None else f"{figure(value['low'])} to {figure(value['high'])}"
    return [name, figure(value["value"]), interval]


def _interval(value: dict[str, float | None]) -> str:
    return "" if value["low"] is None else f" (95% interval {figure(value['low'])} to {figure(value['high'])})"


def _data(facts: Facts) -> Iterator[str]:
    data = facts.recipe.data
    known = ", which comes with hftune; its card says where it is from" if is_starter(data.source or "") else ""
    long = {"truncate": "cut there", "window": "read in windows of as many", "error": "not taken"}[data.too_long]
    yield f"{text(data_name(data))}{known}. Texts of more than {data.max_length:,} tokens were {long}."
    examples = facts.plan.get("examples")
    if isinstance(examples, dict):
        yield table(["split", "examples"], [[split, f"{size:,}"] for split, size in examples.items()], numbers=1)
    if fingerprint := facts.environment.get("data"):
        yield f"Fingerprint of all rows (SHA-256 of their values, in order): {text(fingerprint)}"


def _training(facts: Facts) -> Iterator[str]:
    environment, plan = facts.environment, facts.plan
    where = [environment.get("processor"), environment.get("device"), environment.get("precision")]
    rows = [
        ("hardware", ", ".join(str(one) for one in where if one)),
        ("processes and threads", f"{environment.get('processes', 1)} and {environment.get('threads', '?')}"),
        ("time", f"{duration(facts.seconds)} with evaluations"),
        ("energy", "" if facts.consumed is None else f"{facts.consumed.used.tell()}: {facts.consumed.used.how}"),
    ]
    if facts.learned:
        rows += [
            ("steps", f"{figure(plan.get('total_steps'))}, {many(plan.get('num_train_epochs', 0), 'epoch')}"),
            ("parameters that learned", count(plan.get("trainable_parameters"))),
            ("learning rate", figure(plan.get("learning_rate"))),
            ("seed", str(facts.recipe.training.seed)),
        ]
    rows += [
        _fingerprint(facts),
        ("versions", ", ".join(f"{name} {value}" for name, value in (environment.get("versions") or {}).items())),
    ]
    at = "" if facts.step is None else f", its checkpoint of step {facts.step:,}"
    yield f"Run {text(facts.run)}{at}."
    yield table(["", ""], [row for row in rows if row[1]])


def _fingerprint(facts: Facts) -> tuple[str, str]:
    """Return what the run began with, and the hash of that: of a compressed run its parent's model."""
    hashed = facts.environment.get("model", "unknown")
    if facts.parent:
        return "parent", f"the run {facts.parent}, SHA-256 of the files of its model {hashed}"
    base, revision = public_base(facts.recipe.model), facts.environment.get("model_revision")
    at = f" at {revision}" if revision else ""
    return "base model", "" if base is None else f"{base}{at}, SHA-256 of its files {hashed}"


def _limits(facts: Facts) -> Iterator[str]:
    data, score = facts.recipe.data, facts.score
    for warning in facts.warnings:
        yield f"{text(warning)[:1].upper()}{text(warning)[1:]}."
    if score is not None:
        yield "The figures hold for texts like those they were measured on; of other sources they say nothing."
    if facts.recipe.task.name == "text-classification":
        yield "It gives an answer to every text, also to one that has nothing to do with its data."
        if data.too_long == "window":
            yield "The lines above read a long text's beginning; in windows, as for the figures, hftune alone does."
        if facts.one_output:
            negative, positive = map(text, facts.labels)
            yield f"Its one output is the probability of {positive}; that of {negative} is the rest up to 1."
        if score is not None and score.per_class and facts.problem_type != REGRESSION:
            worst = min(score.per_class, key=lambda name: float(score.per_class[name]["f1"]))  # type: ignore[index]
            yield f"It is least good at {text(worst)} (F1 {score.per_class[worst]['f1']:.3f})."
    if facts.recipe.task.name == "text-generation":
        yield "It writes what is likely after its training, not what is true, and can write what offends."
    yield f"Of a text of more than {data.max_length:,} tokens it was trained on " + (
        "windows."
        if data.too_long == "window"
        else "the beginning alone."
        if data.too_long == "truncate"
        else "nothing."
    )
    learned = "its data" if facts.from_scratch else "its data and its base model"
    if facts.from_scratch and facts.recipe.model.id is not None:
        learned = "its data and the answers of the model that it was distilled from"
    yield f"What there is of prejudice in {learned} it has learned; nobody has looked for it here."


def _again(facts: Facts) -> str:
    """Return what it takes to run the recipe again."""
    if not facts.parent:
        where = "." if _is_public(facts.recipe) else " where its data and its base model are."
        return f"It runs again with `hftune run recipe.yaml`{where}"
    needed = f"the run directory of its parent, {text(facts.parent)}" + (
        "" if facts.recipe.data.source is not None else ", and its data"
    )
    return f"It runs again with `hftune run recipe.yaml` where `compress.parent` names {needed}."


def _is_public(recipe: Recipe) -> bool:
    """Whether anyone could run the recipe: its data and base model have names that others know."""
    base = recipe.model.id is None or name_on_hub(recipe.model) is not None or is_starter(recipe.model.id)
    return base and recipe.data.source is not None


def _flat(value: str) -> str:
    return " ".join(sanitize(value).split())
