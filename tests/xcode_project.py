"""The Xcode project of the iOS app, written from project.yml: `python -m tests.xcode_project`.

XcodeGen makes the same from the same file; this is for those who have none, and for a test of the two.  It
knows of project.yml what that file uses, and refuses the rest.
"""

from __future__ import annotations

import hashlib
import plistlib
from pathlib import Path
from typing import Any

import yaml

APP = Path(__file__).parents[1] / "sample_apps" / "ios" / "App"
PROJECT = APP / "TinySAM.xcodeproj"
KEYS = {
    "project": {"name", "options", "configFiles", "packages", "targets", "schemes"},
    "target": {"type", "platform", "sources", "dependencies", "info", "settings"},
}
TYPES = {".swift": "sourcecode.swift", ".xcstrings": "text.json.xcstrings"}
CONFIGURATIONS = {
    "Debug": {
        "ONLY_ACTIVE_ARCH": "YES",
        "ENABLE_TESTABILITY": "YES",
        "SWIFT_ACTIVE_COMPILATION_CONDITIONS": "DEBUG",
        "SWIFT_OPTIMIZATION_LEVEL": "-Onone",
    },
    "Release": {"SWIFT_COMPILATION_MODE": "wholemodule", "SWIFT_OPTIMIZATION_LEVEL": "-O"},
}
BASE = {
    "ALWAYS_SEARCH_USER_PATHS": "NO",
    "CLANG_ENABLE_MODULES": "YES",
    "CODE_SIGN_STYLE": "Automatic",
    "GENERATE_INFOPLIST_FILE": "NO",
    "LD_RUNPATH_SEARCH_PATHS": "$(inherited) @executable_path/Frameworks",
    "PRODUCT_NAME": "$(TARGET_NAME)",
    "SDKROOT": "iphoneos",
}
INFO = {
    "CFBundleDevelopmentRegion": "$(DEVELOPMENT_LANGUAGE)",
    "CFBundleExecutable": "$(EXECUTABLE_NAME)",
    "CFBundleIdentifier": "$(PRODUCT_BUNDLE_IDENTIFIER)",
    "CFBundleInfoDictionaryVersion": "6.0",
    "CFBundleName": "$(PRODUCT_NAME)",
    "CFBundlePackageType": "APPL",
}


def key(*names: str) -> str:
    """The 24 digits that stand for an object, the same at each writing."""
    return hashlib.sha256("/".join(names).encode()).hexdigest()[:24].upper()


def description() -> dict[str, Any]:
    """project.yml; raises `ValueError` for keys that this file would leave out."""
    data: dict[str, Any] = yaml.safe_load((APP / "project.yml").read_text("utf-8"))
    for kind, found in (("project", data), ("target", data["targets"][data["name"]])):
        if unknown := set(found) - KEYS[kind]:
            raise ValueError(f"project.yml: this writer does not know {sorted(unknown)} of a {kind}")
    return data


class Objects:
    """The objects of a project.pbxproj, by key."""

    def __init__(self) -> None:
        self.all: dict[str, dict[str, Any]] = {}

    def add(self, kind: str, name: str, /, **fields: Any) -> str:
        """Add an object and return its key."""
        identifier = key(kind, name)
        assert identifier not in self.all, name
        self.all[identifier] = {"isa": kind, **fields}
        return identifier


def project_objects(data: dict[str, Any]) -> tuple[str, Objects]:
    """Every object of the project, and the key of the root."""
    objects, name = Objects(), data["name"]
    target = data["targets"][name]
    groups, phases = _files(objects, target)
    config = objects.add(
        "PBXFileReference",
        "Signing.xcconfig",
        lastKnownFileType="text.xcconfig",
        path="Signing.xcconfig",
        sourceTree="<group>",
    )
    product = objects.add(
        "PBXFileReference",
        "product",
        explicitFileType="wrapper.application",
        includeInIndex="0",
        path=f"{name}.app",
        sourceTree="BUILT_PRODUCTS_DIR",
    )
    products = objects.add("PBXGroup", "Products", children=[product], name="Products", sourceTree="<group>")
    main = objects.add("PBXGroup", "main", children=[*groups, config, products], sourceTree="<group>")
    packages = {
        package: objects.add("XCLocalSwiftPackageReference", package, relativePath=fields["path"])
        for package, fields in data["packages"].items()
    }
    libraries, frameworks = _products(objects, target)
    native = objects.add(
        "PBXNativeTarget",
        name,
        buildConfigurationList=_configurations(objects, "target", None, _target_settings(data, target)),
        buildPhases=[*phases, frameworks],
        buildRules=[],
        dependencies=[],
        name=name,
        packageProductDependencies=libraries,
        productName=name,
        productReference=product,
        productType="com.apple.product-type.application",
    )
    root = objects.add(
        "PBXProject",
        "root",
        attributes={"BuildIndependentTargetsInParallel": "YES", "LastUpgradeCheck": "1600"},
        buildConfigurationList=_configurations(objects, "project", config, BASE),
        developmentRegion="en",
        hasScannedForEncodings="0",
        knownRegions=["Base", "en"],
        mainGroup=main,
        packageReferences=list(packages.values()),
        productRefGroup=products,
        projectDirPath="",
        projectRoot="",
        targets=[native],
    )
    return root, objects


def _files(objects: Objects, target: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The groups of the sources and resources, and the phases that build them."""
    sources, resources, top = [], [], []
    for source in target["sources"]:
        path = source["path"] if isinstance(source, dict) else source
        if isinstance(source, dict):
            assert source == {"path": path, "type": "folder"}, source
            reference = _reference(objects, path, "folder")
            resources.append(objects.add("PBXBuildFile", path, fileRef=reference))
            top.append(reference)
        elif (APP / path).is_dir():
            files = sorted(file.name for file in (APP / path).glob("*.swift"))
            children = [_reference(objects, file, TYPES[".swift"]) for file in files]
            pairs = zip(files, children, strict=True)
            sources += [objects.add("PBXBuildFile", f, fileRef=child) for f, child in pairs]
            top.append(objects.add("PBXGroup", path, children=children, path=path, sourceTree="<group>"))
        else:
            reference = _reference(objects, path, TYPES[Path(path).suffix])
            resources.append(objects.add("PBXBuildFile", path, fileRef=reference))
            top.append(reference)
    phases = [
        _phase(objects, "PBXSourcesBuildPhase", sources),
        _phase(objects, "PBXResourcesBuildPhase", resources),
    ]
    return top, phases


def _reference(objects: Objects, path: str, kind: str) -> str:
    fields = {"name": Path(path).name} if "/" in path else {}
    return objects.add(
        "PBXFileReference", path, lastKnownFileType=kind, **fields, path=path, sourceTree="<group>"
    )


def _phase(objects: Objects, kind: str, files: list[str]) -> str:
    return objects.add(
        kind, kind, buildActionMask="2147483647", files=files, runOnlyForDeploymentPostprocessing="0"
    )


def _products(objects: Objects, target: dict[str, Any]) -> tuple[list[str], str]:
    """The packages' libraries, and the phase that links them."""
    libraries, files = [], []
    for dependency in target["dependencies"]:
        library = dependency["product"]
        package = key("XCLocalSwiftPackageReference", dependency["package"])
        identifier = objects.add(
            "XCSwiftPackageProductDependency", library, package=package, productName=library
        )
        libraries.append(identifier)
        files.append(objects.add("PBXBuildFile", library, productRef=identifier))
    return libraries, _phase(objects, "PBXFrameworksBuildPhase", files)


def _target_settings(data: dict[str, Any], target: dict[str, Any]) -> dict[str, str]:
    own = {name: _text(value) for name, value in target["settings"]["base"].items()}
    return {
        "INFOPLIST_FILE": target["info"]["path"],
        "IPHONEOS_DEPLOYMENT_TARGET": data["options"]["deploymentTarget"]["iOS"],
        **own,
    }


def _text(value: Any) -> str:
    return {True: "YES", False: "NO"}[value] if isinstance(value, bool) else str(value)


def _configurations(objects: Objects, owner: str, base: str | None, settings: dict[str, str]) -> str:
    made = []
    for name, own in CONFIGURATIONS.items():
        fields = {"baseConfigurationReference": base} if base else {}
        extra = own if owner == "project" else {}
        made.append(
            objects.add(
                "XCBuildConfiguration",
                f"{owner} {name}",
                **fields,
                buildSettings={**settings, **extra},
                name=name,
            )
        )
    return objects.add(
        "XCConfigurationList",
        owner,
        buildConfigurations=made,
        defaultConfigurationIsVisible="0",
        defaultConfigurationName="Release",
    )


def openstep(value: Any, depth: int = 0) -> str:
    """A value in the old property list format, which Xcode's projects are in."""
    indent, inner = "\t" * depth, "\t" * (depth + 1)
    if isinstance(value, dict):
        lines = [f"{inner}{quoted(k)} = {openstep(v, depth + 1)};\n" for k, v in value.items()]
        return "{\n" + "".join(lines) + indent + "}"
    if isinstance(value, list):
        return "(\n" + "".join(f"{inner}{openstep(v, depth + 1)},\n" for v in value) + indent + ")"
    return quoted(value)


def quoted(text: str) -> str:
    plain = text and all(c.isascii() and (c.isalnum() or c in "_./") for c in text)
    return text if plain else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def pbxproj(data: dict[str, Any]) -> str:
    """The text of project.pbxproj."""
    root, objects = project_objects(data)
    ordered = dict(sorted(objects.all.items(), key=lambda item: (item[1]["isa"], item[0])))
    # 60 is Xcode 15's, the first that knows local packages by reference.
    whole = {
        "archiveVersion": "1",
        "classes": {},
        "objectVersion": "60",
        "objects": ordered,
        "rootObject": root,
    }
    return f"// !$*UTF8*$!\n{openstep(whole)}\n"


SCHEME = """<?xml version="1.0" encoding="UTF-8"?>
<Scheme LastUpgradeVersion="1600" version="1.7">
   <BuildAction parallelizeBuildables="YES" buildImplicitDependencies="YES">
      <BuildActionEntries>
         <BuildActionEntry buildForTesting="YES" buildForRunning="YES" buildForProfiling="YES" \
buildForArchiving="YES" buildForAnalyzing="YES">
            {target}
         </BuildActionEntry>
      </BuildActionEntries>
   </BuildAction>
   <LaunchAction buildConfiguration="{run}" \
selectedDebuggerIdentifier="Xcode.DebuggerFoundation.Debugger.LLDB" \
selectedLauncherIdentifier="Xcode.DebuggerFoundation.Launcher.LLDB" launchStyle="0" \
useCustomWorkingDirectory="NO" ignoresPersistentStateOnLaunch="NO" debugDocumentVersioning="YES" \
debugServiceExtension="internal" allowLocationSimulation="YES">
      <BuildableProductRunnable runnableDebuggingMode="0">
         {target}
      </BuildableProductRunnable>
   </LaunchAction>
   <ProfileAction buildConfiguration="{profile}" shouldUseLaunchSchemeArgsEnv="YES" savedToolIdentifier="" \
useCustomWorkingDirectory="NO" debugDocumentVersioning="YES">
      <BuildableProductRunnable runnableDebuggingMode="0">
         {target}
      </BuildableProductRunnable>
   </ProfileAction>
   <AnalyzeAction buildConfiguration="Debug"></AnalyzeAction>
   <ArchiveAction buildConfiguration="{archive}" revealArchiveInOrganizer="YES"></ArchiveAction>
</Scheme>
"""


def scheme(data: dict[str, Any]) -> str:
    """The text of the shared scheme, which says that Run builds Release."""
    name = data["name"]
    actions = data["schemes"][name]
    target = (
        f'<BuildableReference BuildableIdentifier="primary" '
        f'BlueprintIdentifier="{key("PBXNativeTarget", name)}" '
        f'BuildableName="{name}.app" BlueprintName="{name}" ReferencedContainer="container:{name}.xcodeproj">'
        "</BuildableReference>"
    )
    configurations = {action: actions[action]["config"] for action in ("run", "profile", "archive")}
    return SCHEME.format(target=target, **configurations)


def info_plist(data: dict[str, Any]) -> str:
    """The text of Info.plist."""
    properties = data["targets"][data["name"]]["info"]["properties"]
    return plistlib.dumps({**INFO, **properties}, sort_keys=True).decode("utf-8")


def files() -> dict[Path, str]:
    """Every file of the project, by its path."""
    data = description()
    return {
        PROJECT / "project.pbxproj": pbxproj(data),
        PROJECT / "xcshareddata" / "xcschemes" / f"{data['name']}.xcscheme": scheme(data),
        APP / data["targets"][data["name"]]["info"]["path"]: info_plist(data),
    }


if __name__ == "__main__":
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
