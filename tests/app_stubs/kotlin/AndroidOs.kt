@file:Suppress("unused", "ktlint:standard:property-naming", "ktlint:standard:class-naming")

package android.os

import mobile.tinysam.stubs.absent

class Bundle

object Build {
    val MODEL: String get() = absent()

    object VERSION {
        val RELEASE: String get() = absent()
        val SDK_INT: Int get() = absent()
    }

    object VERSION_CODES {
        const val P: Int = 28
        const val Q: Int = 29
    }
}

class PowerManager {
    val currentThermalStatus: Int get() = absent()
}
