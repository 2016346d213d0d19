// To move to AGP 9: raise agp and gradle-wrapper.properties (Gradle 9.1 or newer), and drop kotlin-android here and in
// the modules, since AGP 9 compiles Kotlin itself and refuses the plugin.  Nothing else names it.
plugins {
    alias(libs.plugins.android.application) apply false
    alias(libs.plugins.android.library) apply false
    alias(libs.plugins.kotlin.android) apply false
    alias(libs.plugins.kotlin.compose) apply false
    alias(libs.plugins.kotlin.jvm) apply false
}

allprojects {
    group = "mobile.tinysam"
    version = "0.1.0"
}
