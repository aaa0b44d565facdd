"""ARCHITECTURE.md names every file with its docstring's first paragraph. Run this file to rewrite the list."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "ARCHITECTURE.md"
BLOCK = re.compile(r"(<!-- files -->\n).*?(<!-- /files -->)", re.DOTALL)


def file_list() -> str:
    """Return the list of hftune's modules, a folder a table, each with its docstring's first paragraph."""
    folders: dict[str, list[str]] = {}
    for path in sorted((ROOT / "hftune").rglob("*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        summary = " ".join(docstring.split("\n\n")[0].split()).replace("|", "\\|")
        name = "" if path.name == "__init__.py" else path.name
        folders.setdefault(str(path.parent.relative_to(ROOT)), []).append(f"| {name} | {summary} |")
    tables = [f"**{folder}/**\n\n| file | what |\n|---|---|\n" + "\n".join(rows) for folder, rows in folders.items()]
    return "\n\n".join(tables) + "\n"


def test_architecture_names_every_file_with_its_purpose() -> None:
    found = BLOCK.search(DOCUMENT.read_text(encoding="utf-8"))
    assert found, "ARCHITECTURE.md has no <!-- files --> block"
    assert found.group(0) == f"{found.group(1)}{file_list()}{found.group(2)}", f"run: python {Path(__file__).name}"


if __name__ == "__main__":
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(BLOCK.sub(lambda match: match.group(1) + file_list() + match.group(2), text), encoding="utf-8")
