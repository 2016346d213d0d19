"""What the stubs declare, and whose it is.

`python -m tests.app_stubs.declarations` writes `sample_apps/API.md`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
KOTLIN = Path(__file__).parent / "kotlin"
SWIFT = ROOT / "sample_apps" / "ios" / "Tests" / "AppleStubs"
OURS = {"Absent.kt", "R.kt", "BuildConfigs.kt", "LiteRt.kt@buildconfig", "ExecuTorch.kt@buildconfig"}
"""What the build makes, and no SDK has."""

ANDROID = "https://developer.android.com/reference"
APPLE = "https://developer.apple.com/documentation"
LITERT = "google-ai-edge/LiteRT, litert/kotlin/src/main/kotlin/com/google/ai/edge/litert"
READ = "source read"
COMPILED = "compiled against the source"
DOCUMENTED = "documentation"


@dataclass(frozen=True, kw_only=True)
class Library:
    """Where a stub's declarations come from, and how they were checked."""

    package: str
    version: str
    source: str
    checked: str = DOCUMENTED


def android(package: str) -> Library:
    return Library(package=package, version="API 26 to 36", source=f"{ANDROID}/{package.replace('.', '/')}")


def androidx(package: str, version: str) -> Library:
    return Library(package=package, version=version, source=f"{ANDROID}/kotlin/{package.replace('.', '/')}")


def apple(module: str, checked: str = DOCUMENTED) -> Library:
    return Library(package=module, version="iOS 18", source=f"{APPLE}/{module.lower()}", checked=checked)


COMPOSE = "BOM 2025.03.01"
LIBRARIES = {
    "AndroidContent.kt": android("android.content"),
    "AndroidGraphics.kt": android("android.graphics"),
    "AndroidOs.kt": android("android.os"),
    "AndroidPackages.kt": android("android.content.pm"),
    "AndroidResources.kt": android("android.content.res"),
    "AndroidUtil.kt": android("android.util"),
    "Uri.kt": android("android.net"),
    "ExecuTorch.kt": Library(
        package="org.pytorch.executorch",
        version="1.5.1",
        source="pytorch/executorch, extension/android/executorch_android",
        checked=COMPILED,
    ),
    "LiteRt.kt": Library(package="com.google.ai.edge.litert", version="2.3.0", source=LITERT, checked=READ),
    "androidx/ActivityCompose.kt": androidx("androidx.activity.compose", "1.10.1"),
    "androidx/ActivityResultContracts.kt": androidx("androidx.activity.result.contract", "1.10.1"),
    "androidx/ActivityResults.kt": androidx("androidx.activity.result", "1.10.1"),
    "androidx/Annotation.kt": androidx("androidx.annotation", "1.9"),
    "androidx/ComponentActivity.kt": androidx("androidx.activity", "1.10.1"),
    "androidx/ComposeDrawing.kt": androidx("androidx.compose.ui.graphics.drawscope", COMPOSE),
    "androidx/ComposeFoundation.kt": androidx("androidx.compose.foundation", COMPOSE),
    "androidx/ComposeGeometry.kt": androidx("androidx.compose.ui.geometry", COMPOSE),
    "androidx/ComposeGestures.kt": androidx("androidx.compose.foundation.gestures", COMPOSE),
    "androidx/ComposeGraphics.kt": androidx("androidx.compose.ui.graphics", COMPOSE),
    "androidx/ComposeInput.kt": androidx("androidx.compose.ui.input.pointer", COMPOSE),
    "androidx/ComposeLayout.kt": androidx("androidx.compose.foundation.layout", COMPOSE),
    "androidx/ComposeMaterial.kt": androidx("androidx.compose.material3", COMPOSE),
    "androidx/ComposeResources.kt": androidx("androidx.compose.ui.res", COMPOSE),
    "androidx/ComposeRuntime.kt": androidx("androidx.compose.runtime", COMPOSE),
    "androidx/ComposeSemantics.kt": androidx("androidx.compose.ui.semantics", COMPOSE),
    "androidx/ComposeUnits.kt": androidx("androidx.compose.ui.unit", COMPOSE),
    "androidx/ExifInterface.kt": androidx("androidx.exifinterface.media", "1.4.0"),
    "androidx/FileProvider.kt": androidx("androidx.core.content", "1.15.0"),
    "androidx/Lifecycle.kt": androidx("androidx.lifecycle", "2.8.7"),
    "androidx/LifecycleCompose.kt": androidx("androidx.lifecycle.compose", "2.8.7"),
    "androidx/LifecycleViewModel.kt": androidx("androidx.lifecycle.viewmodel", "2.8.7"),
    "androidx/Modifier.kt": androidx("androidx.compose.ui", COMPOSE),
    "Accelerate.swift": apple("Accelerate"),
    "Apple.swift": apple("Foundation"),
    "CoreGraphics.swift": apple("CoreGraphics"),
    "CoreML.swift": apple("CoreML"),
    "CoreVideo.swift": apple("CoreVideo"),
    "ExecuTorch.swift": Library(
        package="ExecuTorch",
        version="swiftpm-1.5.0",
        source="pytorch/executorch, extension/apple/ExecuTorch/Exported",
        checked=COMPILED,
    ),
    "ImageIO.swift": apple("ImageIO"),
    "PhotosUI.swift": apple("PhotosUI"),
    "SwiftUI.swift": apple("SwiftUI"),
    "SwiftUIModifiers.swift": apple("SwiftUI"),
    "UIKit.swift": apple("UIKit"),
}
API = ROOT / "sample_apps" / "API.md"
HEAD = """# What the apps call, and whose it is

Written by `python -m tests.app_stubs.declarations` from the stubs in `tests/app_stubs` and
`sample_apps/ios/Tests/AppleStubs`, against which every file of the apps is compiled on Linux.
A test compares. A stub declares what is called and no more, as the official source or documentation does.

*Checked* says how: **compiled against the source** means that our engines were compiled against the official
Kotlin or Swift sources of that release without an error; **source read** that each declaration was read
there; **documentation** that it follows the vendor's reference, and no compiler but the vendor's has seen it.
"""

TYPES = r"class|object|interface|struct|enum|protocol|extension|actor"
DECLARATION = re.compile(
    rf"\b(?P<kind>{TYPES}|fun|val|var|func|let|typealias|init|subscript|case)\b\s*"
    r"(?:<[^>]*>\s*)?(?P<receiver>(?:[A-Z]\w*(?:<[^>]*>)?\.)+)?(?P<name>\w*)"
)
STRING = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/', re.DOTALL)


@dataclass(frozen=True, order=True)
class Stub:
    """A stub file and the names of one type in it (`-` for those that stand alone)."""

    file: str
    type: str
    members: tuple[str, ...]


def stub_files() -> Iterator[tuple[str, Path]]:
    """Name and path of every stub of an SDK."""
    for folder in (KOTLIN, SWIFT):
        for path in sorted(folder.rglob("*.*")):
            name = path.name if path.parent.name != "buildconfig" else f"{path.name}@buildconfig"
            if path.suffix in (".kt", ".swift") and name not in OURS:
                yield path.relative_to(folder).as_posix(), path


def declared(file: str, text: str) -> list[Stub]:
    """The declarations of a stub by the type that has them; private ones and bodies are left out."""
    found: dict[str, list[str]] = {}
    stack: list[str | None] = []
    pending: str | None = None
    plain = re.sub(r"\b(?:enum|data|annotation) class\b", "class", STRING.sub('""', text))
    plain = plain.replace("fun interface", "interface").replace("class func", "func")
    for line in plain.splitlines():
        inside = None in stack
        hidden = re.match(r"\s*(?:@\w+(?:\([^)]*\))?\s*)*(?:private|internal constructor)\b", line)
        match = None if inside or hidden else DECLARATION.search(line)
        if match and not re.match(r"\s*(?:import|package|@file|return|switch)\b", line):
            pending = _add(found, [name for name in stack if name], match)
        for mark in re.findall(r"[{}]", line):
            if mark == "{":
                stack.append(pending)
                pending = None
            elif stack:
                stack.pop()
        if not line.rstrip().endswith((",", "(", "where", ">")) and "{" not in line:
            pending = pending if pending and line.rstrip().endswith((":", ")")) else None
    return [Stub(file, name, tuple(sorted(set(members)))) for name, members in sorted(found.items())]


def _add(found: dict[str, list[str]], stack: list[str], match: re.Match[str]) -> str | None:
    """Note a declaration; returns the name of a type that it opens."""
    kind, name = match["kind"], match["name"]
    if re.fullmatch(TYPES, kind):
        name = name or "Companion"
        if kind != "extension" and name != "Companion":
            found.setdefault(name, [])
        return stack[-1] if name == "Companion" and stack else name
    owner = stack[-1] if stack else "-"
    receiver = (match["receiver"] or "").rstrip(".")
    member = name or kind
    if member not in ("get", "set"):
        found.setdefault(owner, []).append(f"{receiver}.{member}" if receiver else member)
    return None


def all_declared() -> list[Stub]:
    """Every declaration of every stub."""
    return [stub for name, path in stub_files() for stub in declared(name, path.read_text("utf-8"))]


def page() -> str:
    """The text of `sample_apps/API.md`: a section for each library, a row for each type."""
    stubs, lines = all_declared(), [HEAD]
    for file in dict.fromkeys(stub.file for stub in stubs):
        library = LIBRARIES[file]
        source = f"<{library.source}>" if "://" in library.source else library.source
        lines.append(f"## {library.package}")
        lines.append(
            f"Version: {library.version}. Checked: {library.checked}. Source: {source}. Stub: `{file}`.\n"
        )
        lines.append("| type | what we call |\n|---|---|")
        for stub in (stub for stub in stubs if stub.file == file):
            members = ", ".join(f"`{member}`" for member in stub.members) or "itself"
            lines.append(f"| `{stub.type}` | {members} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    API.write_text(page(), encoding="utf-8")
