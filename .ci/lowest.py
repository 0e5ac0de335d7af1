"""Prints pip constraints that hold every dependency and extra of pyproject.toml at the lowest version it allows."""

import re
import tomllib
from itertools import chain
from pathlib import Path

project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
for requirement in chain(project["dependencies"], *project["optional-dependencies"].values()):
    if requirement.startswith(project["name"] + "["):
        continue  # an extra that holds another one
    if not (parts := re.fullmatch(r"([\w.-]+)>=([\w.]+)", requirement)):
        raise SystemExit(f"{requirement!r} has no lower bound that can be read: write it as name>=version")
    print(f"{parts[1]}=={parts[2]}")
