"""What can be done: the keys of a place for people, the entries of the palette, the names that keys can be given to."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from textual.binding import Binding
from textual.content import Content
from textual.dom import DOMNode

from .drawing import line, pad
from .screens.palette import Entry

if TYPE_CHECKING:
    from .app import HftuneApp

KEY_COLUMNS = 14
SHOWN_RUNS = 50
NAMES = {
    "left_square_bracket": "[", "right_square_bracket": "]", "question_mark": "?", "slash": "/", "colon": ":",
    "escape": "Esc", "enter": "Enter", "space": "Space", "pageup": "PgUp", "pagedown": "PgDn",
    "up": "↑", "down": "↓", "left": "←", "right": "→", "tab": "Tab", "full_stop": ".", "comma": ",",
    "plus": "+", "minus": "-",
}  # fmt: skip


def shown(keys: str) -> str:
    """Return keys as people read them: `escape,q` → `Esc q`."""
    return " ".join(
        NAMES.get(key.strip(), key.strip().upper() if _is_function(key) else key.strip()) for key in keys.split(",")
    )


def _is_function(key: str) -> bool:
    return key.strip()[:1] == "f" and key.strip()[1:].isdigit()


def bindings_of(node: DOMNode | type[DOMNode]) -> Iterator[Binding]:
    """Yield the bindings that ours of a class have: those with an id."""
    kind = node if isinstance(node, type) else type(node)
    for each in kind.__mro__:
        for binding in vars(each).get("BINDINGS", ()):
            if isinstance(binding, Binding) and binding.id:
                yield binding


def binding_ids(nodes: Iterable[DOMNode]) -> list[str]:
    """Return the names that a settings file can give keys to: those of these nodes, the prompt, lists and dialogs."""
    from .screens import dialogs, my_file, output, palette, push, recipe_dialogs
    from .widgets import (
        cycle,
        entries,
        filter_line,
        finder,
        markdown_view,
        picks,
        prompt,
        recipe_editing,
        recipe_editor,
        recipe_list,
        run_table,
        transcript,
    )

    others: list[type[DOMNode]] = [
        dialogs.Confirm, dialogs.Reading, output.OutputScreen, palette.Palette, entries.Entries, prompt.Prompt,
        run_table.RunTable, filter_line.FilterLine, recipe_list.RecipeList, recipe_editing.RecipeEditing,
        recipe_editor.RecipeEditor, recipe_dialogs.Choose, recipe_dialogs.AskName, recipe_dialogs.ShortForm,
        recipe_dialogs.EstimateScreen, finder.Finder, transcript.Transcript, markdown_view.MarkdownView,
        my_file.MyFileScreen, my_file.WrittenLine, picks.Picks, push.PushScreen, cycle.Cycle,
    ]  # fmt: skip
    kinds = [*map(type, nodes), *others]
    found = [binding.id for kind in kinds for binding in bindings_of(kind)]
    return list(dict.fromkeys(each for each in found if each))


def keys_of(app: HftuneApp) -> Content:
    """Return the keys that act where one is, those of the focused widget first, as they are set now."""
    place = app.place
    from .widgets.prompt import Prompt

    focused: list[DOMNode] = list(place.focused.ancestors_with_self) if place.focused else []
    inside = [node for node in focused if node is not place and node is not app and any(bindings_of(node))]
    groups: list[tuple[str, DOMNode | type[DOMNode]]] = [(f"In {place.TITLE}", place)]
    groups += [("Where the focus is", node) for node in inside if not isinstance(node, Prompt)]
    groups += [("In the prompt", Prompt), ("Everywhere", app)]
    lines: list[Content] = []
    for title, group in groups:
        lines += [line((title, "bold")), *(_key_line(app, binding) for binding in bindings_of(group)), line("")]
    lines.append(line(("Keys can be changed in the settings file: keys: {id: key}", "$muted")))
    return Content("\n").join(lines)


def _key_line(app: HftuneApp, binding: Binding) -> Content:
    keys = app._keymap.get(binding.id or "", binding.key)
    key = pad(shown(keys), KEY_COLUMNS)
    return line((f"  {key}", "bold $primary"), f"  {binding.description}", (f"   {binding.id}", "$muted"))


def palette_entries(app: HftuneApp) -> list[Entry]:
    """Return what the palette offers: commands, then the runs, then the recipes."""
    commands = app.commands
    entries = [
        Entry(f"/{verb.name}", verb.help, f"/{verb.name}", ask=commands.wants_more(f"/{verb.name}"))
        for verb in commands.table.values()
    ]
    entries += [Entry(f"watch {row.short}", row.status, f"/watch {row.name}") for row in app.store.rows[:SHOWN_RUNS]]
    entries += [Entry(f"train {one.name}", one.description, f"/run {shlex.quote(one.name)}") for one in app.recipes()]
    return entries
