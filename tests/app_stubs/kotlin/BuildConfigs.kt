@file:Suppress("unused")

package mobile.tinysam.app

// What Gradle makes of the build files; the modules' are in files beside this one.
object BuildConfig {
    const val DEBUG: Boolean = false
}
