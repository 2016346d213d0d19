package mobile.tinysam.tool

import com.sun.management.ThreadMXBean
import mobile.tinysam.core.EncodedPhoto
import mobile.tinysam.core.EverythingGenerator
import mobile.tinysam.core.EverythingSettings
import mobile.tinysam.core.Manifest
import mobile.tinysam.core.Mask
import mobile.tinysam.core.Predictor
import mobile.tinysam.core.Prompt
import mobile.tinysam.core.PromptPoint
import mobile.tinysam.core.RGB_CHANNELS
import mobile.tinysam.core.RgbImage
import mobile.tinysam.core.RgbRows
import mobile.tinysam.core.parseManifest
import java.io.File
import java.lang.management.ManagementFactory

private const val LARGE_HEIGHT = 6048
private const val LARGE_WIDTH = 8064
private const val BYTES_PER_MB = 1e6
private const val BYTES_PER_KIB = 1024

/** Prints the new memory of a tap on 12 megapixels, then the peak of the process with all steps on 48. */
fun memory(manifestFile: File) {
    val manifest = parseManifest(manifestFile.readText())
    println("new memory of a tap on $WIDTH x $HEIGHT: %.1f MB".format(megabytesOfTap(manifest)))
    everyStep(manifest)
    println("peak with a photo of $LARGE_WIDTH x $LARGE_HEIGHT: %.1f MB".format(peakMegabytes()))
}

/** The mask as the app asks for it: a layer's bytes. */
private fun megabytesOfTap(manifest: Manifest): Double {
    val (predictor, photo) = encoded(manifest, Stripes(HEIGHT, WIDTH))
    val prompt = Prompt(listOf(PromptPoint(WIDTH / 2.0, HEIGHT / 2.0)))
    val upscaler = predictor.upscaler(photo.geometry)
    // Once for what is made at the first call only.
    predictor.predict(photo, prompt, upscaler = upscaler).mask(inside = Mask.OPAQUE)
    val thread = ManagementFactory.getThreadMXBean() as ThreadMXBean
    val before = thread.getThreadAllocatedBytes(Thread.currentThread().id)
    val mask = predictor.predict(photo, prompt, upscaler = upscaler).mask(inside = Mask.OPAQUE)
    check(mask.area > 0) { "the disc is in the photo" }
    return (thread.getThreadAllocatedBytes(Thread.currentThread().id) - before) / BYTES_PER_MB
}

private fun everyStep(manifest: Manifest) {
    val samples = ByteArray(LARGE_HEIGHT * LARGE_WIDTH * RGB_CHANNELS) { (it / 977).toByte() }
    val (predictor, photo) = encoded(manifest, RgbImage(LARGE_HEIGHT, LARGE_WIDTH, samples))
    val prompt = Prompt(listOf(PromptPoint(LARGE_WIDTH / 2.0, LARGE_HEIGHT / 2.0)))
    check(predictor.predict(photo, prompt).mask().area > 0) { "the disc is in the photo" }
    val settings = EverythingSettings.of(manifest).copy(maxDecoderCalls = 2)
    EverythingGenerator(predictor, settings).generate(photo)
}

private fun encoded(manifest: Manifest, rows: RgbRows): Pair<Predictor, EncodedPhoto> {
    val predictor = Predictor(sameAnswer(manifest, rows.height, rows.width), manifest)
    return predictor to predictor.encode(rows)
}

/** A photo that takes no memory of its own, as a bitmap's is not the core's. */
private class Stripes(override val height: Int, override val width: Int) : RgbRows {
    override fun readRow(y: Int, row: ByteArray) {
        for (i in 0 until width * RGB_CHANNELS) row[i] = (y xor i).toByte()
    }
}

/** Of the process, as Linux counts it: heap, code and the JVM itself. */
private fun peakMegabytes(): Double {
    val line = File("/proc/self/status").readLines().first { it.startsWith("VmHWM:") }
    return line.filter(Char::isDigit).toDouble() * BYTES_PER_KIB / BYTES_PER_MB
}
