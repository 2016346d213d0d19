package mobile.tinysam.core.replay

import mobile.tinysam.core.json.JsonArray
import mobile.tinysam.core.json.JsonObject
import mobile.tinysam.core.json.JsonText
import mobile.tinysam.core.json.jsonOf
import mobile.tinysam.core.json.toJson
import mobile.tinysam.core.moveTo
import java.io.Closeable
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.FloatBuffer
import java.util.zip.Deflater
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream

/** The phone and the app, as the dump names them; each text at most 200 printable characters. */
data class DeviceDescription(val model: String, val os: String, val appVersion: String)

/**
 * How the model ran.  `runtime` and `recipe` as in manifest.json, `computeUnit` the app's name for it, `loadMs`
 * until the models were ready, `artifactSha256` from the app's manifest by component; null where not known.
 * `configuration` is release or debug: debug code is many times slower around the model.
 */
data class RunDescription(
    val runtime: String,
    val recipe: String,
    val computeUnit: String,
    val artifactSha256: Map<String, String>,
    val threads: Int? = null,
    val loadMs: Double? = null,
    val peakMemoryBytes: Long? = null,
    val thermalBefore: String = "unknown",
    val thermalAfter: String = "unknown",
    val configuration: String = "unknown",
    val runtimeVersion: String = "unknown",
)

/**
 * Writes the zip that `tinysam-mobile compare-dump` judges (docs/device_loop.md).
 *
 * Tensors are written as they come, so a replay holds one photo at most.  The file appears under its name when
 * [finish] has written the index, and not before.
 */
class DumpWriter(private val target: File) : Closeable {
    private val partial = File(target.path + ".partial")
    private val zip = ZipOutputStream(partial.outputStream().buffered())
    private val tensors = ArrayList<JsonObject>()
    private var isFinished = false

    init {
        zip.setLevel(Deflater.BEST_SPEED)
    }

    /** Writes float32 values from the buffer's start to its limit. */
    fun writeFloats(name: String, shape: List<Int>, values: FloatBuffer) {
        val source = values.duplicate()
        source.moveTo(0)
        val bytes = ByteArray(source.remaining() * Float.SIZE_BYTES)
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().put(source)
        write(name, "float32", shape, bytes)
    }

    fun writeFloats(name: String, shape: List<Int>, values: FloatArray) =
        writeFloats(name, shape, FloatBuffer.wrap(values))

    fun writeInteger(name: String, value: Int) {
        val bytes = ByteArray(Int.SIZE_BYTES)
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putInt(value)
        write(name, "int32", listOf(1), bytes)
    }

    /** Writes uint8 values. */
    fun writeBytes(name: String, shape: List<Int>, values: ByteArray) = write(name, "uint8", shape, values)

    /** Writes the index and gives the file its name. */
    fun finish(fixturesId: String, device: DeviceDescription, run: RunDescription, latencies: Latencies) {
        zip.putNextEntry(ZipEntry("dump.json"))
        zip.write(indexOf(fixturesId, device, run, latencies).toJson().encodeToByteArray())
        zip.closeEntry()
        zip.close()
        isFinished = true
        target.delete()
        check(partial.renameTo(target)) { "$partial could not be renamed to ${target.name}" }
    }

    /** Without [finish] before it, leaves no file behind. */
    override fun close() {
        if (isFinished) return
        zip.close()
        partial.delete()
    }

    private fun write(name: String, dtype: String, shape: List<Int>, bytes: ByteArray) {
        zip.putNextEntry(ZipEntry("$name.bin"))
        zip.write(bytes)
        zip.closeEntry()
        tensors +=
            JsonObject(
                mapOf(
                    "name" to JsonText(name),
                    "dtype" to JsonText(dtype),
                    "shape" to JsonArray(shape.map(::jsonOf)),
                ),
            )
    }

    private fun indexOf(
        fixturesId: String,
        device: DeviceDescription,
        run: RunDescription,
        latencies: Latencies,
    ) = JsonObject(
        mapOf(
            "layout_version" to jsonOf(LAYOUT_VERSION),
            "fixtures_id" to JsonText(fixturesId),
            "device" to
                JsonObject(
                    mapOf(
                        "model" to JsonText(device.model),
                        "os" to JsonText(device.os),
                        "app_version" to JsonText(device.appVersion),
                    ),
                ),
            "run" to JsonObject(runFields(run)),
            "latency_ms" to JsonObject(latencies.byStep.mapValues { JsonArray(it.value.map(::jsonOf)) }),
            "tensors" to JsonArray(tensors),
        ),
    )

    private fun runFields(run: RunDescription) = mapOf(
        "runtime" to JsonText(run.runtime),
        "recipe" to JsonText(run.recipe),
        "compute_unit" to JsonText(run.computeUnit),
        "threads" to jsonOf(run.threads?.toLong()),
        "load_ms" to jsonOf(run.loadMs),
        "peak_memory_bytes" to jsonOf(run.peakMemoryBytes),
        "thermal_before" to JsonText(run.thermalBefore),
        "thermal_after" to JsonText(run.thermalAfter),
        "configuration" to JsonText(run.configuration),
        "runtime_version" to JsonText(run.runtimeVersion),
        "artifact_sha256" to JsonObject(run.artifactSha256.mapValues { JsonText(it.value) }),
    )
}

/** Milliseconds of every call, by the step's name in the dump. */
class Latencies {
    private val figures = LinkedHashMap<String, MutableList<Double>>()

    val byStep: Map<String, List<Double>> get() = figures

    /** Runs `call` and notes how long it took. */
    fun <T> measure(step: String, call: () -> T): T {
        val start = System.nanoTime()
        val result = call()
        figures.getOrPut(step) { ArrayList() } += (System.nanoTime() - start) / NANOSECONDS_PER_MS
        return result
    }

    private companion object {
        const val NANOSECONDS_PER_MS = 1e6
    }
}
