"""A headless browser that looks at pages, driven from node: see scripts/browser/look.mjs."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
INSTALLED = ROOT / ".tools" / "browser"
KNOWN = ("chromium-headless-shell", "chromium", "google-chrome")


def look(*asked: dict[str, Any]) -> list[dict[str, Any]]:
    """Have pages looked at; return what was seen of each: requests, errors, values, axe."""
    browser = next((found for each in KNOWN if (found := shutil.which(each))), None)
    if (
        browser is None
        or shutil.which("node") is None
        or not (INSTALLED / "installed.json").exists()
    ):
        pytest.skip("there is no browser that can be driven: scripts/browser/install")
    command = ["node", str(ROOT / "scripts" / "browser" / "look.mjs"), str(INSTALLED), browser]
    named = [{"name": str(n), **each} for n, each in enumerate(asked)]
    done = subprocess.run(
        command, input=json.dumps(named), capture_output=True, text=True, check=False, timeout=110
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return [seen[each["name"]] for each in named]
