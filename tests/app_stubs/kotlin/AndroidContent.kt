@file:Suppress("unused")

package android.content

import android.content.pm.PackageManager
import android.content.res.AssetManager
import android.net.Uri
import java.io.File
import java.io.InputStream

abstract class Context {
    val assets: AssetManager get() = TODO()
    val applicationContext: Context get() = TODO()
    val cacheDir: File get() = TODO()
    val contentResolver: ContentResolver get() = TODO()
    val noBackupFilesDir: File get() = TODO()
    val packageManager: PackageManager get() = TODO()
    val packageName: String get() = TODO()

    fun getString(resId: Int): String = TODO()

    fun <T> getSystemService(serviceClass: Class<T>): T = TODO()

    fun startActivity(intent: Intent): Unit = TODO()
}

open class ActivityNotFoundException : RuntimeException()

abstract class ContentResolver {
    fun openInputStream(uri: Uri): InputStream? = TODO()
}

class Intent(action: String) {
    fun setType(type: String?): Intent = TODO()

    fun putExtra(name: String, value: Uri): Intent = TODO()

    fun addFlags(flags: Int): Intent = TODO()

    companion object {
        const val ACTION_SEND: String = ""
        const val EXTRA_STREAM: String = ""
        const val FLAG_GRANT_READ_URI_PERMISSION: Int = 0

        fun createChooser(target: Intent, title: CharSequence?): Intent = TODO()
    }
}
