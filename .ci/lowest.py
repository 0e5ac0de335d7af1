"""Prints pip constraints that hold all that the package and its tests need at the lowest version that is allowed."""

import re
import tomllib
from itertools import chain
from pathlib import Path

pyproject = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
project, groups = pyproject["project"], pyproject["dependency-groups"]
for requirement in chain(project["dependencies"], *project["optional-dependencies"].values(), groups["test"]):
    if requirement.startswith(f"{project['name']}["):
        continue  # an extra that holds another one
    if not (parts := re.fullmatch(r"([\w.-]+)(?:\[.*\])?>=([\w.]+)", requirement)):
        raise SystemExit(f"{requirement!r} has no lower bound that can be read: write it as name>=version")
    print(f"{parts[1]}=={parts[2]}")
