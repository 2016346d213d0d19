package mobile.tinysam.executorch

import mobile.tinysam.core.Artifact
import mobile.tinysam.core.SegmentationEngine
import mobile.tinysam.platform.AppBundle
import mobile.tinysam.platform.EngineFactory

/** More threads are slower on phones, which have few fast cores. */
const val DEFAULT_THREADS = 4

/** ExecuTorch, on what the .pte was lowered to when it was made. */
class ExecuTorch(val threads: Int = DEFAULT_THREADS) : EngineFactory {
    override val runtime: String get() = "executorch"

    override val runtimeVersion: String get() = BuildConfig.RUNTIME_VERSION

    override fun computeUnit(artifact: Artifact): String = artifact.backend ?: "as the .pte says"

    override fun open(bundle: AppBundle): SegmentationEngine = ExecuTorchEngine.open(bundle, this)
}
