@file:Suppress("unused")

package android.content.pm

abstract class PackageManager {
    fun getPackageInfo(packageName: String, flags: Int): PackageInfo = TODO()
}

class PackageInfo {
    val versionName: String? get() = TODO()
}
