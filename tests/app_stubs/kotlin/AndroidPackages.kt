@file:Suppress("unused")

package android.content.pm

import mobile.tinysam.stubs.absent

abstract class PackageManager {
    fun getPackageInfo(packageName: String, flags: Int): PackageInfo = absent()
}

class PackageInfo {
    val versionName: String? get() = absent()
}
