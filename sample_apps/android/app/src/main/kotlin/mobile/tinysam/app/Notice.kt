package mobile.tinysam.app

import mobile.tinysam.core.TinySamException
import java.io.FileNotFoundException
import java.io.IOException

/** What the user is told about something that went wrong. */
sealed interface Notice {
    /** In the words of what failed. */
    data class Said(val text: String) : Notice

    /** A text of the app, with what fills it. */
    data class Known(val text: Int, val values: List<Any> = emptyList()) : Notice
}

/** Phones fail in more ways than this library: memory, disk, photos that are gone, libraries that they lack. */
fun noticeOf(error: Throwable): Notice = when (error) {
    is TinySamException -> Notice.Said(error.message.orEmpty())
    is OutOfMemoryError -> Notice.Known(R.string.out_of_memory)
    is LinkageError -> Notice.Known(R.string.no_native_library)
    is FileNotFoundException, is SecurityException -> Notice.Known(R.string.photo_gone)
    is IOException -> Notice.Known(R.string.disk_trouble, listOf(error.message.orEmpty()))
    else -> Notice.Said("${error::class.simpleName}: ${error.message}")
}
