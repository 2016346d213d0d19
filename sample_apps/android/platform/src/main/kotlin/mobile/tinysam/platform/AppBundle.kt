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

/**
 * The bundle in the app's assets, where `tinysam-mobile bundle-for-app android` puts it.
 *
 * Throws [RecordingException] if there is none, [mobile.tinysam.core.ManifestException] for a damaged manifest,
 * and [EngineException] for an artifact that cannot be read.
 */
class AppBundle(val context: Context) {
    private val assets: AssetManager = context.assets

    val manifest: Manifest = parseManifest(assetFiles("").readText("manifest.json"))

    /** What `tinysam-mobile fixtures` wrote, if it was put into the app. */
    val fixtures: FileTree = assetFiles("fixtures/")

    val hasFixtures: Boolean get() = assets.list("$FOLDER/fixtures").orEmpty().isNotEmpty()

    /** Where the artifact is in the app's assets; it must be stored uncompressed (`noCompress` in the build file). */
    fun assetPath(artifact: Artifact): String = "$FOLDER/${artifact.path}"

    /** Where runtimes keep what they compiled; Android may empty it. */
    val cache: File get() = File(context.cacheDir, FOLDER).apply { mkdirs() }

    /**
     * The artifact as a file on disk, for runtimes that open paths; copied once per version of the artifact.
     *
     * Files of artifacts that the app had before an update are deleted.
     */
    fun file(artifact: Artifact): File {
        val folder = File(context.noBackupFilesDir, FOLDER).apply { mkdirs() }
        val known = manifest.artifacts.map { it.sha256 }.toSet()
        folder.listFiles().orEmpty().filter { it.name !in known }.forEach { it.delete() }
        val target = File(folder, artifact.sha256)
        if (target.exists()) return target
        return reading(artifact) { path ->
            val partial = File.createTempFile("artifact", null, folder)
            assets.open(path).use { source -> partial.outputStream().use(source::copyTo) }
            if (!partial.renameTo(target)) throw IOException("$partial could not be renamed to $target")
            target
        }
    }

    private fun <T> reading(artifact: Artifact, read: (path: String) -> T): T = try {
        read(assetPath(artifact))
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
