package mobile.tinysam.litert

object BuildConfig {
    const val RUNTIME_VERSION: String = "2.3.0"
}
