@file:Suppress("unused")

package android.content

import android.content.pm.PackageManager
import android.content.res.AssetManager
import android.net.Uri
import java.io.File
import java.io.InputStream
import mobile.tinysam.stubs.absent

abstract class Context {
    val assets: AssetManager get() = absent()
    val applicationContext: Context get() = absent()
    val cacheDir: File get() = absent()
    val contentResolver: ContentResolver get() = absent()
    val noBackupFilesDir: File get() = absent()
    val packageManager: PackageManager get() = absent()
    val packageName: String get() = absent()

    fun getString(resId: Int): String = absent()

    fun <T> getSystemService(serviceClass: Class<T>): T = absent()

    fun startActivity(intent: Intent): Unit = absent()
}

open class ActivityNotFoundException : RuntimeException()

abstract class ContentResolver {
    fun openInputStream(uri: Uri): InputStream? = absent()
}

class Intent(action: String) {
    fun setType(type: String?): Intent = absent()

    fun putExtra(name: String, value: Uri): Intent = absent()

    fun addFlags(flags: Int): Intent = absent()

    companion object {
        const val ACTION_SEND: String = ""
        const val EXTRA_STREAM: String = ""
        const val FLAG_GRANT_READ_URI_PERMISSION: Int = 0

        fun createChooser(target: Intent, title: CharSequence?): Intent = absent()
    }
}
