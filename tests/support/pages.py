"""Pages of documentation as tests run them: their files, commands and snippets, with studies made small."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
SMALL = {"trials": 2, "steps": 30, "n_trials": 2, "reruns": 0}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Page:
    """A page of documentation, its studies made small."""

    name: str

    @property
    def text(self) -> str:
        return (ROOT / "docs" / self.name).read_text(encoding="utf-8")

    def blocks(self, kind: str) -> list[str]:
        return [text for name, text in BLOCK.findall(self.text) if name == kind]

    def commands(self) -> list[list[str]]:
        """Of all ``sh`` blocks, in order, as words."""
        lines = "".join(self.blocks("sh")).replace("\\\n", " ").splitlines()
        return [shlex.split(line) for line in lines if line]

    def write_files(self, folder: Path) -> list[str]:
        """The YAML blocks under the names that they begin with."""
        names = []
        for text in self.blocks("yaml"):
            name = re.match(r"# (\S+\.yaml)\n", text)[1]
            if "study:" in text:
                tree = yaml.safe_load(text)
                tree["study"] |= {"trials": SMALL["trials"], "reruns": 0, "leaders": 1}
                text = yaml.safe_dump(
                    tree | {"budget": tree["budget"] | {"steps": SMALL["steps"], "pool": 500, "bank": 200}}
                )
            (folder / name).write_text(small(text))
            names.append(name)
        return names


def small(text: str) -> str:
    """The same snippet with fewer steps and trials; the steps of a window have two digits."""
    text = re.sub(r"\b(n_trials|steps(?=\W+\d{3}))(=|\"?: )\d{2,}", lambda m: f"{m[1]}{m[2]}{SMALL[m[1]]}", text)
    text = text.replace('{"steps": 30}', '{"steps": 30, "pool": 500, "bank": 200}')
    return re.sub(r"steps=30(?=\s*\))", 'steps=30, budget={"pool": 500, "bank": 200}', text)


def run_snippet(text: str, place: str) -> dict:
    names: dict = {}
    exec(compile(small(text), place, "exec"), names)
    return names


def follow(page: Page, dfkd, folder: Path) -> list[list[str]]:
    """Run the commands of a page that are ours; returns the others."""
    others = []
    for words in page.commands():
        if words[0] != "dfkd-tune":
            others.append(words)
            continue
        ended = dfkd(*words[1:], cwd=folder)
        assert ended.status == 0, (words, ended.err)
    return others
