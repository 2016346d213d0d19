@file:Suppress("unused")

package org.tensorflow.lite.gpu

import org.tensorflow.lite.Delegate

class GpuDelegate : Delegate {
    override fun close(): Unit = TODO()
}

class CompatibilityList : AutoCloseable {
    val isDelegateSupportedOnThisDevice: Boolean get() = TODO()

    override fun close(): Unit = TODO()
}
