package mobile.tinysam.platform

import android.content.Context
import android.content.res.AssetManager
import mobile.tinysam.core.Artifact
import mobile.tinysam.core.EngineException
import mobile.tinysam.core.Manifest
import mobile.tinysam.core.RecordingException
import mobile.tinysam.core.parseManifest
import mobile.tinysam.core.replay.FileTree
import mobile.tinysam.core.replay.readText
import java.io.File
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.channels.FileChannel

/**
 * The bundle in the app's assets, where `tinysam-mobile bundle-for-app android` puts it.
 *
 * Throws [RecordingException] if there is none, [mobile.tinysam.core.ManifestException] for a damaged manifest,
 * and [EngineException] for an artifact that cannot be read.
 */
class AppBundle(private val context: Context) {
    private val assets: AssetManager = context.assets

    val manifest: Manifest = parseManifest(assetFiles("").readText("manifest.json"))

    /** What `tinysam-mobile fixtures` wrote, if it was put into the app. */
    val fixtures: FileTree = assetFiles("fixtures/")

    val hasFixtures: Boolean get() = assets.list("$FOLDER/fixtures").orEmpty().isNotEmpty()

    /** The artifact mapped into memory; it must be stored uncompressed (`noCompress` in the app's build file). */
    fun map(artifact: Artifact): ByteBuffer = reading(artifact) { path ->
        assets.openFd(path).use { asset ->
            asset.createInputStream().channel.use {
                it.map(FileChannel.MapMode.READ_ONLY, asset.startOffset, asset.declaredLength)
            }
        }
    }

    /** The artifact as a file on disk, for runtimes that open paths; copied once per version of the artifact. */
    fun file(artifact: Artifact): File {
        val target = File(context.noBackupFilesDir, artifact.sha256)
        if (target.exists()) return target
        return reading(artifact) { path ->
            val partial = File.createTempFile("artifact", null, context.noBackupFilesDir)
            assets.open(path).use { source -> partial.outputStream().use(source::copyTo) }
            if (!partial.renameTo(target)) throw IOException("$partial could not be renamed to $target")
            target
        }
    }

    private fun <T> reading(artifact: Artifact, read: (path: String) -> T): T = try {
        read("$FOLDER/${artifact.path}")
    } catch (error: IOException) {
        throw EngineException("${artifact.path} cannot be read from the app's assets: ${error.message}", error)
    }

    private fun assetFiles(prefix: String) = FileTree { path ->
        try {
            assets.open("$FOLDER/$prefix$path").use { it.readBytes() }
        } catch (error: IOException) {
            throw RecordingException(
                "the app has no $FOLDER/$prefix$path (${error.message}): " +
                    "run tinysam-mobile bundle-for-app android BUNDLE and build again",
            )
        }
    }

    private companion object {
        const val FOLDER = "tinysam"
    }
}
