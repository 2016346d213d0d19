package mobile.tinysam.app

import com.google.ai.edge.litert.Accelerator
import mobile.tinysam.executorch.ExecuTorch
import mobile.tinysam.litert.LiteRt
import mobile.tinysam.platform.EngineFactory

/** What can run the model. */
enum class EngineChoice(val factory: EngineFactory) {
    LITERT_CPU(LiteRt()),
    LITERT_GPU(LiteRt(Accelerator.GPU)),
    LITERT_GPU_EXACT(LiteRt(Accelerator.GPU, isGpuExact = true)),
    LITERT_NPU(LiteRt(Accelerator.NPU)),
    EXECUTORCH(ExecuTorch()),
}
