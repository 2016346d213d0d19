package mobile.tinysam.executorch

object BuildConfig {
    const val RUNTIME_VERSION: String = "1.5.1"
}
