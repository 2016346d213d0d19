import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins {
    alias(libs.plugins.android.library)
    alias(libs.plugins.kotlin.android)
    `maven-publish`
}

android {
    namespace = "mobile.tinysam.executorch"
    compileSdk = libs.versions.compileSdk.get().toInt()
    defaultConfig {
        minSdk = libs.versions.minSdk.get().toInt()
        // What a dump names, and what is compared with the release that judged the files.
        buildConfigField("String", "RUNTIME_VERSION", "\"${libs.versions.executorch.get()}\"")
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
    buildFeatures {
        buildConfig = true
    }
    publishing {
        singleVariant("release") { withSourcesJar() }
    }
}

kotlin {
    compilerOptions {
        jvmTarget = JvmTarget.JVM_17
    }
}

dependencies {
    api(project(":platform"))
    implementation(libs.executorch)
}

publishing {
    publications {
        register<MavenPublication>("release") {
            artifactId = "tinysam-executorch"
            afterEvaluate { from(components["release"]) }
        }
    }
}
