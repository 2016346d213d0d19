"""The Android project: what would break its sync or build in Android Studio, as far as its files tell."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from xml.etree import ElementTree
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
ANDROID = ROOT / "sample_apps" / "android"
CATALOG = tomllib.loads((ANDROID / "gradle" / "libs.versions.toml").read_text("utf-8"))
VERSIONS: dict[str, str] = CATALOG["versions"]
MODULES = re.findall(r'":(\w+)"', (ANDROID / "settings.gradle.kts").read_text("utf-8"))
CONSTRAINTS = (ROOT / "constraints.txt").read_text("utf-8")
NAME = "{http://schemas.android.com/apk/res/android}name"


def build_file(module: str) -> str:
    return (ANDROID / module / "build.gradle.kts").read_text("utf-8")


def version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def test_every_module_has_its_folder() -> None:
    assert MODULES == ["core", "platform", "litert", "executorch", "app"]
    for module in MODULES:
        assert build_file(module)
        assert list((ANDROID / module / "src" / "main" / "kotlin").rglob("*.kt"))


@pytest.mark.parametrize("module", MODULES)
def test_any_jdk_from_17_on_will_do(module: str) -> None:
    """Android Studio ships JDK 21, and Gradle does not download the 17 that a toolchain asks for."""
    text = build_file(module)
    assert "jvmToolchain" not in text
    assert "JavaVersion.VERSION_17" in text
    assert "JvmTarget.JVM_17" in text


@pytest.mark.parametrize("module", MODULES)
def test_libraries_and_versions_come_from_the_catalog(module: str) -> None:
    text = build_file(module)
    used = set(re.findall(r"libs\.((?!versions|plugins)[\w.]+)\)", text))
    known = {name.replace("-", ".") for name in CATALOG["libraries"]}
    assert used <= known
    plugins = {name.replace("-", ".") for name in CATALOG["plugins"]}
    assert set(re.findall(r"libs\.plugins\.([\w.]+)\)", text)) <= plugins
    assert set(re.findall(r"libs\.versions\.(\w+)\.get", text)) <= set(VERSIONS)


def test_every_library_of_the_catalog_is_used() -> None:
    used = "\n".join(map(build_file, MODULES))
    assert [name for name in CATALOG["libraries"] if f"libs.{name.replace('-', '.')})" not in used] == []


def test_the_store_takes_the_app() -> None:
    """New uploads must target API 36, which AGP 8.9.1 is the first to compile; 9 refuses our plugin."""
    assert int(VERSIONS["targetSdk"]) >= 36
    assert int(VERSIONS["compileSdk"]) >= int(VERSIONS["targetSdk"])
    assert (8, 9, 1) <= version(VERSIONS["agp"]) < (9,)
    assert "AGP 9" in (ANDROID / "build.gradle.kts").read_text("utf-8")


def test_the_wrapper_starts_a_gradle_that_the_plugin_takes() -> None:
    properties = (ANDROID / "gradle" / "wrapper" / "gradle-wrapper.properties").read_text("utf-8")
    (gradle,) = re.findall(r"gradle-([\d.]+)-bin\.zip", properties)
    # AGP 8.9 takes Gradle 8.11.1, AGP 8.13 takes 8.13.
    assert (8, 13) <= version(gradle) < (9,)
    assert (ANDROID / "gradlew").stat().st_mode & 0o111
    assert (ANDROID / "gradlew.bat").is_file()
    with ZipFile(ANDROID / "gradle" / "wrapper" / "gradle-wrapper.jar") as jar:
        assert "org/gradle/wrapper/GradleWrapperMain.class" in jar.namelist()


@pytest.mark.parametrize(("package", "key"), [("ai-edge-litert", "litert"), ("executorch", "executorch")])
def test_the_app_runs_the_release_that_judges_on_the_host(package: str, key: str) -> None:
    """LiteRT 1.4.0 and 2.3.0 gave one static_w8a8 file embeddings that are 34.6 dB apart."""
    assert f"\n{package}=={VERSIONS[key]}\n" in CONSTRAINTS


def test_each_engine_says_which_release_it_is() -> None:
    for module in ("litert", "executorch"):
        assert f"libs.versions.{module}.get()" in build_file(module)
        assert "buildConfig = true" in build_file(module)
        sources = "".join(p.read_text("utf-8") for p in (ANDROID / module / "src").rglob("*.kt"))
        assert "BuildConfig.RUNTIME_VERSION" in sources


def test_no_embedder_drags_both_runtimes() -> None:
    assert "libs.litert" not in build_file("executorch") + build_file("core") + build_file("platform")
    assert "libs.executorch" not in build_file("litert") + build_file("core") + build_file("platform")


@pytest.mark.parametrize("module", [module for module in MODULES if module != "app"])
def test_libraries_can_be_published(module: str) -> None:
    assert "`maven-publish`" in build_file(module)
    assert f'artifactId = "tinysam-{module}"' in build_file(module)


def test_the_gpu_finds_its_drivers() -> None:
    """From Android 12 on only those that the manifest names; LiteRT's AAR lists these four."""
    tree = ElementTree.parse(ANDROID / "litert" / "src" / "main" / "AndroidManifest.xml")
    names = {entry.attrib[NAME] for entry in tree.iter("uses-native-library")}
    assert names == {"libOpenCL.so", "libOpenCL-car.so", "libOpenCL-pixel.so", "libvndksupport.so"}
    assert "libs.litert.gpu)" in build_file("litert"), "Options(GPU) throws without litert-gpu"


def app_code() -> str:
    return "\n".join(
        p.read_text("utf-8") for p in (ANDROID / "app" / "src" / "main" / "kotlin").rglob("*.kt")
    )


def test_no_row_of_the_screen_is_wider_than_a_phone() -> None:
    """Buttons in a plain Row went off the screen (409 to 425 dp of 336 to 388): they flow into lines."""
    code = app_code()
    assert "FlowRow(" in code
    assert re.findall(r"(?<!Flow)\bRow\(", code) == []


def test_nothing_lies_under_the_bars_of_the_phone() -> None:
    code = app_code()
    assert "enableEdgeToEdge()" in code
    assert "safeDrawingPadding()" in code


def test_the_view_model_gets_nothing_of_an_activity() -> None:
    factory = re.search(r"initializer \{(.*?)\n            \}", app_code(), re.DOTALL)
    assert factory is not None
    assert "Models(applicationContext)" in factory[1]
    assert "PhotoLoader(applicationContext.contentResolver)" in factory[1]


def test_dumps_are_shared_while_the_screen_is_seen() -> None:
    assert "repeatOnLifecycle(Lifecycle.State.STARTED)" in app_code()


def test_the_app_has_a_dark_theme() -> None:
    assert "darkColorScheme()" in app_code()
    resources = ANDROID / "app" / "src" / "main" / "res"
    for folder, parent in (
        ("values", "Theme.Material.Light"),
        ("values-night", "Theme.Material.NoActionBar"),
    ):
        assert parent in (resources / folder / "themes.xml").read_text("utf-8")


def test_files_of_artifacts_before_an_update_are_deleted() -> None:
    bundle = next((ANDROID / "platform").rglob("AppBundle.kt")).read_text("utf-8")
    assert "filter { it.name !in known }.forEach { it.delete() }" in bundle


def test_masks_are_a_byte_a_pixel_and_photos_turn_while_they_decode() -> None:
    photos = next((ANDROID / "platform").rglob("BitmapPhotos.kt")).read_text("utf-8")
    assert "Bitmap.Config.ALPHA_8" in photos
    loader = next((ANDROID / "app").rglob("PhotoLoader.kt")).read_text("utf-8")
    assert "ImageDecoder.decodeBitmap" in loader
    assert "setTargetSampleSize" in loader


def test_dumps_say_where_the_model_ran() -> None:
    """ExecuTorch's unit is what the .pte was lowered to, and not always xnnpack."""
    factory = next((ANDROID / "executorch").rglob("ExecuTorch.kt")).read_text("utf-8")
    assert "artifact.backend" in factory
    assert '"xnnpack"' not in factory + app_code()
