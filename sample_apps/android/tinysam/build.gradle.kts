plugins {
    alias(libs.plugins.android.library)
    alias(libs.plugins.kotlin.android)
}

android {
    namespace = "mobile.tinysam"
    compileSdk = libs.versions.compileSdk.get().toInt()
    defaultConfig {
        minSdk = libs.versions.minSdk.get().toInt()
    }
    sourceSets {
        // The core has a folder of its own, because it is also compiled without Android (sample_apps/run-kotlin).
        named("main") { kotlin.srcDir("src/core/kotlin") }
    }
}

kotlin {
    jvmToolchain(17)
}

dependencies {
    implementation(libs.litert)
    implementation(libs.litert.gpu)
    implementation(libs.litert.gpu.api)
    implementation(libs.executorch)
    testImplementation(libs.junit)
}
