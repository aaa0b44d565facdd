"""Broken recipes: each problem at its line and column, with what was found, what is right and the nearest name."""

import subprocess
import sys
from pathlib import Path

import pytest

from hftune.errors import EXIT_USAGE, Problem, RecipeError
from hftune.recipe.load import load_recipe

TOP = "name: a\ntask: text-classification\nmodel: org/bert\n"  # lines 1-3
DATA = "data: {source: 'hftune:movie-reviews'}\n"  # line 4
HEAVY = ("torch", "transformers", "datasets", "peft", "accelerate", "evaluate", "numpy")

# name: (text, [(line, column, key, part of the message, part of the hint)])
BROKEN: dict[str, tuple[str, list[tuple[int, int, str, str, str]]]] = {
    "unknown key": (TOP + DATA + "trainning: {seed: 1}\n", [(5, 1, "trainning", "unknown key", "'training'")]),
    "unknown key in a section": (
        TOP + DATA + "training:\n  learning_rat: 1e-4\n",
        [(6, 3, "training.learning_rat", "unknown key", "'learning_rate'")],
    ),
    "another tool's name": (
        TOP + DATA + "training:\n  epochs: 3\n  batch_size: 8\n  warmup_ratio: 0.1\n",
        [
            (6, 3, "training.epochs", "unknown key", "'num_train_epochs'"),
            (7, 3, "training.batch_size", "unknown key", "'per_device_train_batch_size'"),
            (8, 3, "training.warmup_ratio", "unknown key", "'warmup_steps'? Below 1 it is a share"),
        ],
    ),
    "key in the wrong section": (
        TOP + DATA + "lr: 1e-4\nmax_length: 64\n",
        [
            (5, 1, "lr", "unknown key", "'training.learning_rate'"),
            (6, 1, "max_length", "unknown key", "data.max_length"),
        ],
    ),
    "wrong type": (
        TOP + DATA + "training:\n  seed: one\n  save_steps: 2.5\n",
        [
            (6, 9, "training.seed", "found the text 'one', expected a whole number", ""),
            (7, 15, "training.save_steps", "found 2.5, expected a whole number", ""),
        ],
    ),
    "number in quotes": (
        TOP + DATA + 'training:\n  learning_rate: "1e-4"\n',
        [(6, 18, "training.learning_rate", "found the text '1e-4', expected a number", "Take the quotes off: 1e-4")],
    ),
    "no is not false": (
        TOP + DATA + "training:\n  group_by_length: no\n",
        [(6, 20, "training.group_by_length", "found the text 'no', expected true or false", "write false")],
    ),
    "true is not text": (
        "name: a\ntask: text-classification\nmodel: org/bert\ndata:\n  source: hftune:a\n  label: true\n",
        [(6, 10, "data.label", "found true, expected text", "quotes")],
    ),
    "out of range": (
        TOP + DATA + "training:\n  learning_rate: -1e-4\n  max_steps: 0\n",
        [
            (6, 18, "training.learning_rate", "found -0.0001, expected a number above 0", ""),
            (7, 14, "training.max_steps", "found 0, expected a number of at least 1", ""),
        ],
    ),
    "infinite learning rate": (
        TOP + DATA + "training: {learning_rate: .inf}\n",
        [(5, 27, "training.learning_rate", "found inf, expected a finite number", "")],
    ),
    "unknown choice": (
        TOP + DATA + "training:\n  lr_scheduler_type: cosin\n",
        [(6, 22, "training.lr_scheduler_type", "expected 'linear', 'cosine'", "'cosine'")],
    ),
    "other tools' words": (
        TOP.replace("text-classification", "sentiment-analysis")
        + DATA
        + "training:\n  device: gpu\n  optim: adamw_hf\n",
        [
            (2, 7, "task", "no task named 'sentiment-analysis'", "'text-classification'"),
            (6, 11, "training.device", "found the text 'gpu'", "'cuda'"),
            (7, 10, "training.optim", "found the text 'adamw_hf'", "'adamw'"),
        ],
    ),
    "no mappings where sections are": (
        "name: a\ntask: text-classification\nmodel: 3\ndata: a.csv\ntraining: [1]\n",
        [
            (3, 8, "model", "found 3, expected a Hub id", "model: google-bert"),
            (4, 7, "data", "found the text 'a.csv', expected a mapping", "data: {files:"),
            (5, 11, "training", "found a list, expected a mapping", "training: {"),
        ],
    ),
    "keys without a value": (
        "name: a\ntask:\nmodel:   # which?\ndata:\n",
        [
            (2, 1, "task", "found nothing, expected the name of a task", "text-classification"),
            (3, 1, "model", "found nothing, expected a Hub id", "model: google-bert"),
            (4, 1, "data", "found nothing, expected a mapping", "data: {files:"),
        ],
    ),
    "a word where a list is": (
        TOP + DATA + "training: {report_to: wandb}\n",
        [(5, 23, "training.report_to", "found the text 'wandb', expected a list", "[wandb]")],
    ),
    "one of a list": (
        TOP + DATA + "training:\n  report_to: [wandb, tensorbord]\n",
        [(6, 22, "training.report_to.1", "expected 'tensorboard' or 'wandb'", "'tensorboard'")],
    ),
    "a name that is near none": (
        TOP + DATA + "training:\n  zzz: 1\n",
        [(6, 3, "training.zzz", "unknown key", "hftune recipes schema")],
    ),
    "key of a method outside it": (
        TOP + DATA + "method: {name: lora, lr: 1e-3}\nwindow: {strid: 3}\n",
        [
            (5, 22, "method.lr", "unknown key", "'training.learning_rate'"),
            (6, 1, "window", "unknown key", "data.window"),
        ],
    ),
    "duplicate key": (
        TOP + DATA + "training:\n  seed: 1\n  seed: 2\n",
        [(7, 3, "training.seed", "given twice, first on line 6, column 3", "Keep one")],
    ),
    "duplicate section": (
        TOP + DATA + "model: org/other\n",
        [(5, 1, "model", "given twice, first on line 3, column 1", "Keep one")],
    ),
    "missing keys": (
        "name: a\ntask: text-classification\n",
        [(1, 1, "model", "missing", "pretrained"), (1, 1, "data", "missing", "examples")],
    ),
    "unknown task": (
        TOP.replace("text-classification", "text-clasification") + DATA,
        [(2, 7, "task", "no task named 'text-clasification'", "'text-classification'")],
    ),
    "unknown method": (
        TOP + DATA + "method: {name: lorra, r: 8}\n",
        [(5, 16, "method.name", "no method named 'lorra'", "'lora'")],
    ),
    "method without a name": (TOP + DATA + "method: {r: 8}\n", [(5, 1, "method", "`name` is missing", "lora")]),
    "option of another method": (
        TOP + DATA + "method:\n  name: full\n  r: 8\n",
        [(7, 3, "method.r", "full has no such option", "option of lora")],
    ),
    "unknown option": (
        TOP + DATA + "method:\n  name: lora\n  lora_alfa: 8\n  rank: 4\n",
        [(7, 3, "method.lora_alfa", "unknown key", "'lora_alpha'"), (8, 3, "method.rank", "unknown key", "'r'")],
    ),
    "wrong option": (
        TOP + DATA + "method: {name: lora, r: eight}\n",
        [(5, 25, "method.r", "found the text 'eight', expected a whole number", "")],
    ),
    "unknown metric": (
        TOP + DATA + "training:\n  metric_for_best_model: acuracy\n",
        [(6, 26, "training.metric_for_best_model", "no metric 'acuracy'", "'accuracy'")],
    ),
    "metric the wrong way round": (
        TOP + DATA + "training:\n  metric_for_best_model: accuracy\n  greater_is_better: false\n",
        [(7, 22, "training.greater_is_better", "a greater accuracy is the better one", "Leave it out")],
    ),
    "two origins of data": (
        TOP + "data:\n  source: hftune:movie-reviews\n  files: a.csv\n",
        [(6, 3, "data.files", "exactly one of `source`, `files`, `rows` (found `source` and `files`)", "")],
    ),
    "no origin of data, and more": (
        TOP + "data:\n  max_length: long\n",
        [
            (4, 1, "data", "exactly one of `source`, `files`, `rows` (found none)", ""),
            (5, 15, "data.max_length", "found the text 'long'", ""),
        ],
    ),
    "unknown split": (
        TOP + "data:\n  files:\n    train: a.csv\n    val: b.csv\n",
        [(7, 5, "data.files.val", "unknown split", "'validation'")],
    ),
    "no train file": (TOP + "data: {files: {test: a.csv}}\n", [(4, 8, "data.files", "no `train` file", "")]),
    "empty rows": (TOP + "data: {rows: []}\n", [(4, 8, "data.rows", "no row is given", "")]),
    "empty and doubled labels": (
        TOP + "data: {source: 'hftune:a', label_names: [a, b, a]}\n",
        [(4, 28, "data.label_names", "given twice: 'a'", "")],
    ),
    "no labels": (
        TOP + "data: {source: 'hftune:a', label_names: []}\n",
        [(4, 28, "data.label_names", "the list is empty", "")],
    ),
    "windows that stand still": (
        TOP + "data: {source: 'hftune:a', max_length: 32, too_long: window}\n",
        [(4, 1, "data.window", "never move on", "")],
    ),
    "half a pair": (
        TOP + "data: {source: 'hftune:a', prompt: question}\n",
        [(4, 28, "data.prompt", "go together", "")],
    ),
    "pretrained and from scratch": (
        "name: a\ntask: text-classification\nmodel: {id: org/bert, architecture: bert}\n" + DATA,
        [
            (3, 1, "model", "give either `id` (pretrained) or `architecture`", ""),
            (3, 1, "model", "needs a `tokenizer`", ""),
        ],
    ),
    "no way to fit a tokenizer": (
        "name: a\ntask: text-classification\nmodel: {architecture: lstm, tokenizer: {fit: charcters}}\n" + DATA,
        [(3, 46, "model.tokenizer.fit", "found the text 'charcters', expected 'characters'", "'characters'")],
    ),
    "an unknown option of a fitted tokenizer": (
        "name: a\ntask: text-classification\nmodel: {architecture: lstm, tokenizer: {fit: characters, size: 9}}\n"
        + DATA,
        [(3, 58, "model.tokenizer.size", "unknown key", "")],
    ),
    "a number for a tokenizer": (
        "name: a\ntask: text-classification\nmodel: {architecture: lstm, tokenizer: 5}\n" + DATA,
        [(3, 40, "model.tokenizer", "found 5, expected a Hub id, a folder, or how to fit one", "{fit: characters}")],
    ),
    "a fitted tokenizer for a pretrained model": (
        "name: a\ntask: text-classification\nmodel: {id: org/bert, tokenizer: {fit: characters}}\n" + DATA,
        [(3, 23, "model.tokenizer", "a pretrained model knows its own tokens alone", "")],
    ),
    "pairs for a tokenizer of characters": (
        "name: a\ntask: text-classification\nmodel: {architecture: lstm, tokenizer: {fit: characters}}\n"
        "data: {source: 'hftune:a', text_pair: b}\n",
        [(4, 28, "data.text_pair", "puts nothing between two texts", "name a tokenizer")],
    ),
    "rows of an unknown split": (
        TOP + "data:\n  rows:\n    train: [{text: a, label: b}]\n    val: [{text: a, label: b}]\n",
        [(7, 5, "data.rows.val", "unknown split", "'validation'")],
    ),
    "rows without train": (
        TOP + "data: {rows: {test: [{text: a, label: b}]}}\n",
        [(4, 8, "data.rows", "no `train` list", "")],
    ),
    "one sigmoid for several labels": (
        TOP.replace(
            "task: text-classification",
            "task: {name: text-classification, one_output: true, problem_type: multi_label_classification}",
        )
        + DATA,
        [(2, 35, "task.one_output", "it goes with single_label_classification alone", "")],
    ),
    "search for the learning rate": (
        TOP + DATA + "training: {learning_rate: find}\n",
        [(5, 27, "training.learning_rate", "found the text 'find', expected a number or 'auto'", "")],
    ),
    "search for the learning rate, nearly": (
        TOP + DATA + "training: {learning_rate: automatic}\n",
        [(5, 27, "training.learning_rate", "expected a number or 'auto'", "Did you mean 'auto'?")],
    ),
    "warm-up longer than training": (
        TOP + DATA + "training: {warmup_steps: 200, max_steps: 100}\n",
        [(5, 12, "training.warmup_steps", "200 steps of warm-up are more than max_steps (100)", "")],
    ),
    "warm-up of half a step": (
        TOP + DATA + "training: {warmup_steps: 1.5}\n",
        [(5, 12, "training.warmup_steps", "below 1 it is a share", "")],
    ),
    "early stopping with nothing to look at": (
        TOP
        + "data: {files: {train: a.csv}, validation_share: 0}\n"
        + "training: {early_stopping_patience: 2, eval_steps: 50, max_steps: 20}\n",
        [
            (5, 12, "training.early_stopping_patience", "nothing is evaluated before max_steps", ""),
            (5, 12, "training.early_stopping_patience", "needs a validation split", "give a share"),
        ],
    ),
    "early stopping without validation, data in one file": (
        TOP + "data: {files: a.csv, validation_share: 0.0}\n" + "training: {early_stopping_patience: 2}\n",
        [(5, 12, "training.early_stopping_patience", "needs a validation split", "give a share")],
    ),
    "best metric without validation, data in the recipe": (
        TOP + "data: {rows: [{text: a, label: b}], validation_share: 0}\n" + "training: {metric_for_best_model: f1}\n",
        [(5, 12, "training.metric_for_best_model", "needs a validation split", "give a share")],
    ),
    "unsafe name": (
        TOP.replace("name: a", "name: ../a b") + DATA,
        [(1, 7, "name", "expected a name of letters, digits", "")],
    ),
    "tab": (TOP + "data:\n\tsource: a\n", [(5, 1, "", "not YAML", "no tabs")]),
    "colon in a value": (TOP + "data: {source: a}\ndescription: a: b\n", [(5, 15, "", "not YAML", "Quote a value")]),
    "open bracket": (TOP + "data: {source: a\ntraining: {}\n", [(5, 9, "", "not YAML", "")]),
    "undefined alias": (TOP + "data: *nothing\n", [(4, 7, "", "undefined alias 'nothing'", "")]),
    "tag": (
        TOP + "data: {source: !!python/object/apply:os.system [ls]}\n",
        [(4, 16, "data.source", "found a list", "")],
    ),
    "merge key": (
        TOP + "data: &d {source: a}\ntraining:\n  <<: *d\n",
        [(6, 3, "training", "no merge key", "Write the keys out")],
    ),
    "a data set in the recipe": (
        TOP + "data:\n  rows:\n" + "  - {a: 1}\n" * 3500,
        [(3335, 9, "", "more than 5,000 values", "a file of their own")],
    ),
    "tag that is not true": (
        TOP + DATA + "training: {seed: !!int one}\n",
        [
            (5, 18, "training.seed", "'one' is not the int that its tag says", ""),
            (5, 18, "training.seed", "nothing", ""),
        ],
    ),
    "tag on text": (TOP + DATA + "description: !python/name:os x\n", [(5, 14, "description", "are not read", "plain")]),
    "key that is no word": (TOP + DATA + "? [a, b]\n: 1\n", [(5, 3, "", "a key must be a word", "")]),
    "escape sequence in a key": (TOP + DATA + '"\\e[31m": 1\n', [(5, 1, "'\\x1b[31m'", "unknown key", "")]),
    "number of too many digits": (
        TOP + DATA + f"training: {{seed: {'9' * 5000}}}\n",
        [(5, 18, "training.seed", "is not the int", ""), (5, 18, "training.seed", "found nothing", "")],
    ),
    "seed out of range": (
        TOP + DATA + "training: {seed: -1, max_steps: 2.0}\n",
        [
            (5, 18, "training.seed", "found -1, expected a number of at least 0", ""),
            (5, 33, "training.max_steps", "found 2.0, expected a whole number", "Write 2."),
        ],
    ),
    "truth in quotes": (
        TOP + DATA + "training: {group_by_length: 'False'}\n",
        [(5, 29, "training.group_by_length", "found the text 'False'", "Take the quotes off: false.")],
    ),
    "two kinds of generation data": (
        "name: a\ntask: text-generation\nmodel: a/b\ndata: {source: s, messages: m, prompt: p, completion: c}\n",
        [(4, 19, "data.messages", "give either `messages` or `prompt` and `completion`", "")],
    ),
    "sizes of a pretrained model": (
        "name: a\ntask: text-classification\nmodel: {id: a/b, config: {layers: 2}}\n" + DATA,
        [(3, 18, "model.config", "those of a pretrained one are fixed", "")],
    ),
    "no file": (TOP + "data: {files: {}}\n", [(4, 8, "data.files", "no file is named", "")]),
    "key of the top in a section": (
        TOP + DATA + "training: {method: lora, descripton: x}\n",
        [
            (5, 12, "training.method", "unknown key", "at the top"),
            (5, 26, "training.descripton", "unknown key", "'description'"),
        ],
    ),
    "two documents": (TOP + DATA + "---\nname: b\n", [(5, 1, "", "another document", "One recipe a file")]),
    "YAML 1.1": ("%YAML 1.1\n---\n" + TOP + DATA, [(1, 1, "", "YAML 1.2", "%YAML")]),
    "a list among keys": (TOP + DATA + "- b\n", [(5, 1, "", "expected <block end>", "Check the indentation")]),
    "list at the top": ("- name: a\n- task: b\n", [(1, 1, "", "a recipe is a mapping of keys", "bert_cls")]),
    "a word at the top": ("hello\n", [(1, 1, "", "found the text 'hello'", "")]),
    "empty file": ("# nothing but this\n", [(1, 1, "", "the recipe is empty", "bert_cls")]),
    "deep nesting": (TOP + "data: " + "[" * 500 + "\n", [(4, 38, "", "nested more than 32 levels deep", "")]),
    "alias bomb": (
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
        [(4, 1, "d", "5,000 values once its aliases", "Write the values out")],
    ),
    "alias of itself": ("name: &x [*x]\n", [(1, 1, "name", "nested more than 32 levels deep", "Write")]),
}


def problems_of(text: str | bytes, folder: Path, *overrides: str) -> list[Problem]:
    """Return the problems of a recipe with that text."""
    file = folder / "broken.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RecipeError) as raised:
        load_recipe(file, overrides)
    assert raised.value.exit_code == EXIT_USAGE
    return raised.value.problems


@pytest.mark.parametrize("name", BROKEN)
def test_every_problem_stands_at_its_line_and_column(name: str, tmp_path: Path) -> None:
    text, expected = BROKEN[name]
    problems = problems_of(text, tmp_path)
    shown = "\n".join(map(str, problems))
    assert [(p.line, p.column, p.key) for p in problems] == [entry[:3] for entry in expected], shown
    for problem, (*_, message, hint) in zip(problems, expected, strict=True):
        assert message in problem.message, shown
        assert hint in problem.hint, shown
        assert problem.file.endswith("broken.yaml")


def test_a_bad_section_hides_no_problem_of_another(tmp_path: Path) -> None:
    text = (
        "name: a b\ntask: text-clasification\nmodel: {id: 3}\ndata: {source: a, files: b, text: 1}\n"
        "method: {name: lora, r: x}\ntraining: {lr: 1, seed: x, seed: 2, early_stopping_patience: 0}\nmore: 1\n"
    )
    assert [problem.key for problem in problems_of(text, tmp_path)] == [
        "name",
        "task",
        "model.id",
        "data.files",
        "data.text",
        "method.r",
        "training.lr",
        "training.seed",
        "training.seed",
        "training.early_stopping_patience",
        "more",
    ]


@pytest.mark.parametrize(
    ("content", "line", "column", "message"),
    [
        (b"\x7fELF\x00\x00\x00", 0, 0, "not a text file"),
        (b"name: caf\xe9\n", 1, 10, "byte 0xe9 is not UTF-8"),
        (TOP.encode() + b"description: \xc3\xa9\xff\n", 4, 15, "byte 0xff is not UTF-8"),
        (b"# " + b"x" * (1 << 18), 0, 0, "are no recipe"),
        (b"name: \x07\n", 0, 0, "not YAML"),
    ],
    ids=["binary", "latin-1", "after another letter", "huge", "control character"],
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes, line: int, column: int, message: str) -> None:
    (problem,) = problems_of(content, tmp_path)
    assert (problem.line, problem.column) == (line, column)
    assert message in problem.message


def test_a_problem_of_an_override_names_the_override(tmp_path: Path) -> None:
    problems = problems_of(TOP + DATA, tmp_path, "training.lr=3", "method.r=8", "training.seed=x", "nonsense")
    assert [str(problem) for problem in problems] == [
        "-s nonsense: 'nonsense' is no override\n  Write section.key=value, for example training.seed=1.",
        "-s method.r=8: method.r: unknown key: full has no such option\n"
        "  It is an option of lora: method: {name: lora, r: …}.",
        "-s training.lr=3: training.lr: unknown key\n  Did you mean 'learning_rate'?",
        "-s training.seed=x: training.seed: found the text 'x', expected a whole number",
    ]


def test_an_override_that_is_no_yaml_says_so(tmp_path: Path) -> None:
    problems = problems_of(TOP + DATA, tmp_path, "data.label_names=[a, b", "training.seed={a: 1, a: 2}")
    assert [(problem.file.partition("=")[0], problem.line) for problem in problems] == [
        ("-s data.label_names", 1),
        ("-s training.seed", 1),
    ]


def test_a_missing_file_suggests_the_closest_shipped_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such recipe file") as raised:
        load_recipe(tmp_path / "bert_clz.yaml")
    assert "'bert_cls'" in raised.value.problems[0].hint


def test_a_name_that_is_too_long_for_a_file_is_no_bug(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read: File name too long"):
        load_recipe("a" * 5000)
    file = tmp_path / "long.yaml"
    file.write_text(TOP.replace("org/bert", "a" * 5000) + DATA)
    assert load_recipe(file).model.id == "a" * 5000


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="is a folder"):
        load_recipe(tmp_path)


def test_the_command_line_refuses_before_anything_heavy_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(TOP + DATA + "method: {name: lora, r: x}\ntraining: {metric_for_best_model: acc}\n")
    script = (
        "import sys\nfrom hftune import cli\n"
        f"code = cli.run(['recipes', 'show', {str(file)!r}, '--json'])\n"
        f"print(code, [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"{EXIT_USAGE} []"
    assert f"{file}:5:25: method.r: found the text 'x', expected a whole number" in done.stderr
    assert f"{file}:6:35: training.metric_for_best_model" in done.stderr
