package mobile.tinysam.platform

import mobile.tinysam.core.SegmentationEngine

/** What runs the model; `computeUnit` is its name in dumps. */
enum class EngineChoice(val runtime: String, val computeUnit: String) {
    LITERT_CPU("tflite", "cpu"),
    LITERT_GPU("tflite", "gpu"),
    EXECUTORCH("executorch", "xnnpack"),
}

/**
 * Opens the bundle's model on the chosen runtime; takes up to seconds.
 *
 * Throws [mobile.tinysam.core.ManifestException] if the bundle has no artifact for it, and
 * [mobile.tinysam.core.EngineException] if the runtime refuses it.  Never falls back to another runtime.
 */
fun openEngine(bundle: AppBundle, choice: EngineChoice, threads: Int): SegmentationEngine = when (choice) {
    EngineChoice.LITERT_CPU -> LiteRtEngine.open(bundle, onGpu = false, threads)
    EngineChoice.LITERT_GPU -> LiteRtEngine.open(bundle, onGpu = true, threads)
    EngineChoice.EXECUTORCH -> ExecuTorchEngine.open(bundle, threads)
}

/** Parts of a bundle, as `artifacts[].component` names them. */
internal const val ENCODER = "encoder"
internal const val DECODER = "decoder"
