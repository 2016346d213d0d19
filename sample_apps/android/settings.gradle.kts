pluginManagement {
    repositories {
        google()
        mavenCentral()
        gradlePluginPortal()
    }
}

dependencyResolutionManagement {
    repositoriesMode = RepositoriesMode.FAIL_ON_PROJECT_REPOS
    repositories {
        google()
        mavenCentral()
    }
}

rootProject.name = "TinySAM"

// core: no Android.  platform: photos and the app's assets.  litert, executorch: an engine each.  app: the example.
include(":core", ":platform", ":litert", ":executorch", ":app")
