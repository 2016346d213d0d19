import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins {
    alias(libs.plugins.android.library)
    alias(libs.plugins.kotlin.android)
    `maven-publish`
}

android {
    namespace = "mobile.tinysam.litert"
    compileSdk = libs.versions.compileSdk.get().toInt()
    defaultConfig {
        minSdk = libs.versions.minSdk.get().toInt()
        // What a dump names, and what is compared with the release that judged the files.
        buildConfigField("String", "RUNTIME_VERSION", "\"${libs.versions.litert.get()}\"")
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
    implementation(libs.litert)
    // Without it the GPU is refused.
    implementation(libs.litert.gpu)
}

publishing {
    publications {
        register<MavenPublication>("release") {
            artifactId = "tinysam-litert"
            afterEvaluate { from(components["release"]) }
        }
    }
}
