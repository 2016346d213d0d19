package mobile.tinysam.tool

import mobile.tinysam.core.DecoderAnswer
import mobile.tinysam.core.EncodedPhoto
import mobile.tinysam.core.EverythingGenerator
import mobile.tinysam.core.EverythingMode
import mobile.tinysam.core.EverythingSettings
import mobile.tinysam.core.Geometry
import mobile.tinysam.core.ImageFeatures
import mobile.tinysam.core.Manifest
import mobile.tinysam.core.MaskUpscaler
import mobile.tinysam.core.PackedPrompts
import mobile.tinysam.core.Predictor
import mobile.tinysam.core.Preprocessed
import mobile.tinysam.core.RGB_CHANNELS
import mobile.tinysam.core.RgbImage
import mobile.tinysam.core.SegmentationEngine
import mobile.tinysam.core.parseManifest
import mobile.tinysam.core.preprocess
import java.io.File
import java.lang.management.ManagementFactory
import java.nio.FloatBuffer
import kotlin.math.PI
import kotlin.math.hypot
import kotlin.math.sqrt
import kotlin.random.Random

/** A photo of 12 megapixels, as phones take them. */
internal const val HEIGHT = 3024
internal const val WIDTH = 4032

/** The photo's part that each of a click's masks covers: 1 / 2, 1 / 6, 1 / 30. */
private val SHARES = listOf(2, 6, 30)

/** Calls that are not counted: the JIT compiles meanwhile. */
private const val WARM_UP_CALLS = 15
private const val CALLS = 15
private const val STEEPNESS = 8
private const val NANOSECONDS_PER_MS = 1e6

/** Prints medians of what the core does once per photo, per mask shown and per candidate of everything mode. */
fun bench(manifestFile: File) {
    val manifest = parseManifest(manifestFile.readText())
    val photo = RgbImage(HEIGHT, WIDTH, Random(seed = 0).nextBytes(HEIGHT * WIDTH * RGB_CHANNELS))
    val geometry = Geometry.of(HEIGHT, WIDTH, manifest.sizes.imageSize)
    val discs = List(manifest.masksPerPrompt) { disc(geometry, manifest.sizes.maskSize, SHARES[it % SHARES.size]) }
    val upscaler = MaskUpscaler(geometry, manifest.sizes.maskSize, manifest.maskThreshold.toFloat())
    val size = "$WIDTH x $HEIGHT"
    show("preprocess $size to ${manifest.sizes.imageSize}", measure { preprocess(photo, manifest) })
    discs.forEachIndexed { i, logits ->
        show("postprocess a mask of 1/${SHARES[i % SHARES.size]} of $size", measure { upscaler.mask(logits) })
    }
    val candidates = manifest.sizes.batch * discs.size
    for (mode in EverythingMode.entries) {
        val everything = measure { oneBatch(manifest, mode, geometry, discs) }
        show("everything mode, $mode, per candidate ($candidates, $size)", everything.per(candidates))
    }
}

/** An engine that answers the discs of a photo of `height` x `width` to everything. */
internal fun sameAnswer(manifest: Manifest, height: Int, width: Int): SegmentationEngine {
    val geometry = Geometry.of(height, width, manifest.sizes.imageSize)
    return SameAnswer(
        manifest,
        List(manifest.masksPerPrompt) { disc(geometry, manifest.sizes.maskSize, SHARES[it % SHARES.size]) },
    )
}

private fun show(what: String, cost: Cost) =
    println("%-52s %8.1f ms (%.1f ms of the processor)".format(what, cost.wallMs, cost.cpuMs))

/** Medians of one call's time on the clock and, as other work on the machine does not change it, on the processor. */
private class Cost(val wallMs: Double, val cpuMs: Double) {
    fun per(count: Int) = Cost(wallMs / count, cpuMs / count)
}

private fun measure(call: () -> Any): Cost {
    val thread = ManagementFactory.getThreadMXBean()
    repeat(WARM_UP_CALLS) { call() }
    val wall = ArrayList<Double>()
    val cpu = ArrayList<Double>()
    repeat(CALLS) {
        val start = System.nanoTime()
        val cpuStart = thread.currentThreadCpuTime
        call()
        cpu += (thread.currentThreadCpuTime - cpuStart) / NANOSECONDS_PER_MS
        wall += (System.nanoTime() - start) / NANOSECONDS_PER_MS
    }
    return Cost(wall.sorted()[CALLS / 2], cpu.sorted()[CALLS / 2])
}

/** Logits (m, m) of a disc in the photo's middle that covers 1 / `share` of it, with a steep outline. */
private fun disc(geometry: Geometry, maskSize: Int, share: Int): FloatArray {
    val cells = maskSize.toDouble() / geometry.imageSize
    val height = geometry.validHeight * cells
    val width = geometry.validWidth * cells
    val radius = sqrt(height * width / share / PI)
    return FloatArray(maskSize * maskSize) {
        (STEEPNESS * (radius - hypot(it % maskSize - width / 2, it / maskSize - height / 2))).toFloat()
    }
}

/** Everything mode on an engine that answers all discs to each of a batch of clicks, and all of them survive. */
private fun oneBatch(manifest: Manifest, mode: EverythingMode, geometry: Geometry, discs: List<FloatArray>): Int {
    val photo = EncodedPhoto(ImageFeatures.zeros(manifest.encoderOutputs), geometry)
    val settings = EverythingSettings.of(manifest, hierarchical = false).copy(maxDecoderCalls = 1, mode = mode)
    val objects = EverythingGenerator(
        Predictor(SameAnswer(manifest, discs), manifest),
        settings,
    ).generate(photo).objects
    check(objects.size == discs.size) { "the discs must survive, one of each: ${objects.size}" }
    return objects.size
}

private class SameAnswer(private val manifest: Manifest, discs: List<FloatArray>) : SegmentationEngine {
    private val answer = discs.flatMap { it.asList() }.toFloatArray()

    override fun encode(image: Preprocessed) = ImageFeatures.zeros(manifest.encoderOutputs)

    override fun decode(features: ImageFeatures, prompt: PackedPrompts, maskInput: FloatArray?) =
        decodeBatch(features, prompt)

    override fun decodeBatch(features: ImageFeatures, prompts: PackedPrompts): DecoderAnswer {
        val logits = FloatBuffer.allocate(prompts.prompts * answer.size)
        repeat(prompts.prompts) { logits.put(answer) }
        val scores = FloatArray(prompts.prompts * manifest.masksPerPrompt) { 1f }
        return DecoderAnswer(logits, scores, manifest.masksPerPrompt, manifest.sizes.maskSize)
    }

    override fun close() = Unit
}
