"""The code base as a test subject: layers, versions, stubs, formatting, the documents' links and code."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import atlascore

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "python" / "atlascore"
LAYERS = ["base", "simd", "text", "event", "track", "signal", "evidence", "rule", "policy", "log", "engine", "scan"]

# A Python module may import modules of its own rank or below: the primitives, the front ends, the engine, what uses it.
PYTHON_RANKS = [
    {"_version", "_core", "errors", "events", "constraints"},
    {"_yaml", "atlas", "similarity", "windows", "log"},
    {"sigma"},
    {"_policy", "policy"},
    {"_compiled", "_explain", "engine"},
    {"scanning", "cases", "adapters"},
    {"demo"},
    {"cli"},
    {"__main__"},
]


def run(*command: str) -> None:
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_cpp_layers_point_one_way() -> None:
    include = re.compile(r'#include "atlascore/(\w+)/')
    for layer in LAYERS:
        allowed = set(LAYERS[: LAYERS.index(layer) + 1])
        for source in (ROOT / "cpp" / "atlascore" / layer).glob("*.[ch]pp"):
            used = set(include.findall(source.read_text(encoding="utf-8")))
            assert used <= allowed, f"{source.name} of {layer} includes {sorted(used - allowed)}"


def test_every_layer_is_listed() -> None:
    directories = {path.parent.name for path in (ROOT / "cpp" / "atlascore").glob("*/CMakeLists.txt")}
    assert directories == set(LAYERS)


def test_python_layers_point_one_way() -> None:
    rank = {name: i for i, names in enumerate(PYTHON_RANKS) for name in names}
    for source in PACKAGE.rglob("*.py"):
        parts = source.relative_to(PACKAGE).with_suffix("").parts
        if parts == ("__init__",):
            continue
        assert parts[0] in rank, f"{source.name}: give {parts[0]} a rank"
        for module in imported_modules(source):
            if module in rank:
                assert rank[module] <= rank[parts[0]], f"{'.'.join(parts)} imports {module}"


def imported_modules(source: Path) -> set[str]:
    """First parts below atlascore of what is imported at the top of a module; type checking apart."""
    found: set[str] = set()
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "atlascore":
            tail = node.module.split(".")[1:]
            found |= {tail[0]} if tail else {alias.name for alias in node.names}
    return found


def test_versions_agree() -> None:
    presets = json.loads((ROOT / "CMakePresets.json").read_text(encoding="utf-8"))
    assert presets["version"] == 3
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {atlascore.__version__}" in changes


def test_presets_that_ci_uses_exist() -> None:
    names = {
        p["name"] for p in json.loads((ROOT / "CMakePresets.json").read_text(encoding="utf-8"))["configurePresets"]
    }
    assert {"dev", "release", "asan", "tsan", "tidy"} <= names


def test_the_system_packages_are_listed_once() -> None:
    """The set-up script and the configure step's message name the same libraries."""
    cmake = (ROOT / "cmake" / "dependencies.cmake").read_text(encoding="utf-8")
    script = (ROOT / "scripts" / "setup.sh").read_text(encoding="utf-8")
    wanted = re.search(r'ATLASCORE_APT "([^"]+)"', cmake)
    installed = re.search(r'packages="([^"]+)"', script)
    assert wanted is not None
    assert installed is not None
    assert set(wanted[1].split()) <= set(installed[1].split())


def test_ruff() -> None:
    run(sys.executable, "-m", "ruff", "check", "python", "tests", "bench")
    run(sys.executable, "-m", "ruff", "format", "--check", "python", "tests", "bench")


def test_mypy_strict() -> None:
    run(sys.executable, "-m", "mypy")


def test_the_stub_describes_the_core() -> None:
    allowed = ROOT / "tests" / "stubtest_allowlist.txt"
    run(
        sys.executable,
        "-m",
        "mypy.stubtest",
        "atlascore._core",
        "--allowlist",
        str(allowed),
        "--ignore-unused-allowlist",
    )


def test_clang_format() -> None:
    sources = [str(path.relative_to(ROOT)) for path in (ROOT / "cpp").rglob("*.[ch]pp")]
    assert len(sources) > 50
    run(str(Path(sys.executable).with_name("clang-format")), "--dry-run", "--Werror", *sources)


@pytest.mark.parametrize("document", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("*/*.md")), ids=lambda p: p.name)
def test_links_in_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_importing_is_cheap() -> None:
    heavy = {"click", "rich", "uvicorn", "starlette", "pyarrow", "httpx", "sklearn"}
    code = f"import sys, atlascore; print([m for m in sys.modules if m.split('.')[0] in {heavy}])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
