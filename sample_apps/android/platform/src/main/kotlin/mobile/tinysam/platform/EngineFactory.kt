package mobile.tinysam.platform

import android.content.Context
import mobile.tinysam.core.Artifact
import mobile.tinysam.core.Manifest
import mobile.tinysam.core.Predictor
import mobile.tinysam.core.SegmentationEngine
import mobile.tinysam.core.TinySam

/** A runtime and how it is to run the model; `LiteRt` and `ExecuTorch` are in modules of their own. */
interface EngineFactory {
    /** As in manifest.json. */
    val runtime: String

    /** The release of the runtime in this app. */
    val runtimeVersion: String

    /** Where the model runs, as a dump names it; `artifact` is its decoder. */
    fun computeUnit(artifact: Artifact): String

    /**
     * Opens the bundle's model; takes up to seconds.
     *
     * Throws [mobile.tinysam.core.ManifestException] if the bundle has no artifact for it, and
     * [mobile.tinysam.core.EngineException] if the runtime refuses it.  Never falls back to another runtime.
     */
    fun open(bundle: AppBundle): SegmentationEngine
}

/** Parts of a bundle, as `artifacts[].component` names them. */
const val ENCODER = "encoder"
const val DECODER = "decoder"

/** Opens the model that `tinysam-mobile bundle-for-app android` put into the app's assets. */
suspend fun TinySam.Companion.open(context: Context, engine: EngineFactory): TinySam = opening {
    val bundle = AppBundle(context.applicationContext)
    Predictor(engine.open(bundle), bundle.manifest)
}

/**
 * What is to be known of a runtime of another release than the one that judged the files on the host, or null: integer
 * kernels of two releases may round differently.
 */
fun EngineFactory.releaseMismatch(manifest: Manifest): Pair<String, String>? {
    val judged = manifest.runtimes[runtime] ?: return null
    return if (judged == runtimeVersion) null else judged to runtimeVersion
}
