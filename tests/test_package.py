"""The package as it is installed: wheel from sdist, every module importable, heavy imports only on use."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = (
    "torch",
    "coremltools",
    "litert_torch",
    "executorch",
    "ai_edge_litert",
    "PIL",
    "numpy",
    "rich",
    "safetensors",
)
IMPORT_ALL = """
import pkgutil, importlib, sys, tinysam_mobile
names = [m.name for m in pkgutil.walk_packages(tinysam_mobile.__path__, "tinysam_mobile.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(tinysam_mobile.__file__, len(names), "converters" in sys.modules or "quant" in sys.modules)
"""


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build sdist, then the wheel from the sdist, with the setuptools of this environment."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT), cwd=out)
    return next(out.glob("*.whl"))


def test_every_package_is_listed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = [
        p.parent
        for base in ("tinysam_mobile", "converters", "quant")
        for p in (ROOT / base).rglob("__init__.py")
    ]
    names = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    names = {f"tinysam_mobile.{name}" if name.startswith(("converters", "quant")) else name for name in names}
    # The page of `serve` is no Python, but a wheel must hold it: a package of data only.
    assert set(settings["packages"]) == names | {"tinysam_mobile.web"}


def test_wheel_imports_from_another_directory(wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv"), cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    site = Path(
        run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip()
    )
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # The dependencies come from this environment; a path in a .pth file brings no editable install along.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    file, count, bare = (
        run(str(python), "-E", "-W", "ignore", "-c", IMPORT_ALL, cwd=tmp_path).splitlines()[-1].split()
    )
    assert Path(file).is_relative_to(site)
    assert int(count) > 40
    assert bare == "False"


def test_wheel_holds_no_tests_and_is_small(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert not [name for name in names if name.startswith(("tests/", "converters/", "quant/", "benchmarks/"))]
    assert "tinysam_mobile/converters/pipeline.py" in names
    assert "tinysam_mobile/py.typed" in names
    assert wheel.stat().st_size < 8e6


PROBE = """
import sys
try:
    import tinysam_mobile.cli
    tinysam_mobile.cli.main(["--help"])
except SystemExit:
    pass
print([name for name in {heavy} if name in sys.modules])
"""


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    assert run(sys.executable, "-c", PROBE.format(heavy=HEAVY), cwd=tmp_path).splitlines()[-1] == "[]"
