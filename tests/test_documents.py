"""The documents name only what exists: pages, headings, files, modules, commands and their options."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tributary.cli import cli

ROOT = Path(__file__).parents[1]
LISTED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
FILES = {name for name in LISTED.split("\n") if name and (ROOT / name).exists()}
FOLDERS = {str(parent) for name in FILES for parent in Path(name).parents}
TOP = sorted({name.split("/")[0] for name in FILES if "/" in name})
DOCUMENTS = {name for name in FILES if name.endswith((".md", ".ipynb")) and name != "CHANGELOG.md"}
PAGES = sorted(name for name in DOCUMENTS if name.split("/")[0] in (name, "docs", "examples", "deploy"))
MADE = "examples/data/"  # what a command of the same page downloads or writes
pytestmark = pytest.mark.skipif(not FILES, reason="needs the repository: the files come from git")


def text_of(page: str) -> str:
    text = (ROOT / page).read_text(encoding="utf-8")
    if not page.endswith(".ipynb"):
        return text
    return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])


def anchors(page: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text_of(page), flags=re.M | re.S), re.M)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading.strip()).replace(" ", "-") for heading in plain}


def exists(path: str, page: str) -> bool:
    places = (ROOT / path, ROOT / page / ".." / path)
    names = {
        str(place.resolve().relative_to(ROOT)) for place in places if place.resolve().is_relative_to(ROOT)
    }
    return bool(names & (FILES | FOLDERS))


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_page_and_a_heading(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if target.startswith(("http", "mailto")):
            continue
        path, _, anchor = target.partition("#")
        assert not path or exists(path, page), target
        if anchor:
            there = str((ROOT / page / ".." / path).resolve().relative_to(ROOT)) if path else page
            assert anchor in anchors(there), target


@pytest.mark.parametrize("page", PAGES)
def test_every_file_and_module_that_is_named_exists(page: str) -> None:
    for named in re.findall(r"`([\w./-]+)`", text_of(page)):
        parts = re.split(r"[./]", named)
        if parts[0] not in TOP or len(parts) < 2 or named.startswith(MADE):
            continue
        if "/" in named:
            assert exists(named, page), named
        elif not named.startswith(("care.", "reports.", "tributary.", "clv.", "attribution.")):
            path = [f"{'/'.join(parts[:k])}.py" for k in range(1, len(parts) + 1)]
            assert "/".join(parts) in FOLDERS or any(name in FILES for name in path), named


def calls(text: str) -> Iterator[list[str]]:
    """Words of each call of the command line: from code, up to a comment or a column of explanation."""
    code = re.findall(r"^```[^\n]*\n(.*?)^```", text, re.M | re.S) + re.findall(r"^    (.*)$", text, re.M)
    code += re.findall(r"`([^`\n]*)`", text)
    for line in "\n".join(code).replace("\\\n", " ").split("\n"):
        found = re.match(r"\s*(?:\$ |!)?(?:\.venv/bin/)?tributary ((?:[\w-]).*)", line)
        if found:
            yield re.split(r"  +|\s#", found[1])[0].split()


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_option_that_is_named_exists(page: str) -> None:
    for words in calls(text_of(page)):
        command: click.Command = cli
        names = list(words)
        while isinstance(command, click.Group) and names and not names[0].startswith("-"):
            name = names.pop(0)
            inner = command.get_command(click.Context(command), name)
            assert inner is not None, f"tributary {' '.join(words)}"
            command = inner
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        used = {word.split("=")[0].rstrip(",.;)") for word in names if word.startswith("--")}
        assert used <= known, f"tributary {' '.join(words)}"


def test_every_page_of_the_site_is_written_or_made() -> None:
    made = re.findall(r'^ {4,}"([\w-]+\.md)"', (ROOT / "docs/prepare/site.py").read_text(), re.M)
    pages = re.findall(r": ([\w/-]+\.(?:md|ipynb))$", (ROOT / "mkdocs.yml").read_text(), re.M)
    written = {name.removeprefix("docs/") for name in PAGES}

    assert set(pages) <= written | set(made)
    assert {name.removeprefix("docs/") for name in PAGES if name.startswith("docs/")} <= set(pages)
