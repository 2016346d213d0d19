@file:Suppress("unused", "ktlint:standard:property-naming", "ktlint:standard:class-naming")

package android.os

class Bundle

object Build {
    val MODEL: String get() = TODO()

    object VERSION {
        val RELEASE: String get() = TODO()
        val SDK_INT: Int get() = TODO()
    }

    object VERSION_CODES {
        const val P: Int = 28
        const val Q: Int = 29
    }
}

class PowerManager {
    val currentThermalStatus: Int get() = TODO()
}
