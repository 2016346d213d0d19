package mobile.tinysam.app

import android.content.Context
import android.os.Build
import android.os.PowerManager
import kotlinx.coroutines.withContext
import mobile.tinysam.core.TinySam
import mobile.tinysam.core.replay.DeviceDescription
import mobile.tinysam.core.replay.DumpWriter
import mobile.tinysam.core.replay.FixtureSet
import mobile.tinysam.core.replay.Replay
import mobile.tinysam.core.replay.RunDescription
import mobile.tinysam.litert.DEFAULT_THREADS
import mobile.tinysam.platform.AppBundle
import mobile.tinysam.platform.DECODER
import mobile.tinysam.platform.open
import mobile.tinysam.platform.releaseMismatch
import java.io.File

/** Names of `PowerManager.THERMAL_STATUS_…`, in their order. */
private val THERMAL_NAMES = listOf("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")

/** A model that is open; `notice` is what the user should know of it. */
class OpenModel(val sam: TinySam, val choice: EngineChoice, val loadMs: Double, val notice: Notice?)

/** What the view model asks of the models. */
interface ModelSource {
    /** Whether the app carries fixtures to replay. */
    val hasFixtures: Boolean

    /** Opens the model; throws what says why not. */
    suspend fun open(choice: EngineChoice): OpenModel

    /** Replays the bundle's fixtures and returns the zip for `tinysam-mobile compare-dump`. */
    suspend fun recordDump(model: OpenModel, progress: (Int, Int) -> Unit): File

    /** How warm the phone is. */
    fun thermalStatus(): String
}

/** The app's bundle, its models, and the dumps that they give. */
class Models(private val context: Context) : ModelSource {
    // Read on first use: the app must start, and say what is missing, without a bundle.
    private val bundle by lazy { AppBundle(context) }

    override val hasFixtures: Boolean
        get() = runCatching { bundle.hasFixtures }.getOrDefault(false)

    override suspend fun open(choice: EngineChoice): OpenModel {
        val start = System.nanoTime()
        val sam = TinySam.open(context, choice.factory)
        val mismatch = choice.factory.releaseMismatch(sam.manifest)
        val notice = mismatch?.let { (judged, here) -> Notice.Known(R.string.other_runtime, listOf(judged, here)) }
        return OpenModel(sam, choice, millisecondsSince(start), notice)
    }

    override suspend fun recordDump(model: OpenModel, progress: (Int, Int) -> Unit): File =
        withContext(model.sam.dispatcher) {
            val fixtures = FixtureSet.read(bundle.fixtures, model.sam.manifest.labels)
            val folder = File(context.cacheDir, "dumps").apply { mkdirs() }
            val target = File(folder, "dump.zip")
            DumpWriter(target).use { dump ->
                val thermalBefore = thermalStatus()
                val replay = Replay(model.sam.predictor, fixtures, dump)
                replay.run(progress)
                dump.finish(fixtures.id, device(), describe(model, thermalBefore), replay.latencies)
            }
            target
        }

    private fun device() = DeviceDescription(
        model = Build.MODEL,
        os = "Android ${Build.VERSION.RELEASE}",
        appVersion = context.packageManager.getPackageInfo(context.packageName, 0).versionName.orEmpty(),
    )

    private fun describe(model: OpenModel, thermalBefore: String): RunDescription {
        val engine = model.choice.factory
        val parts = bundle.manifest.artifacts.filter { it.runtime == engine.runtime }
        return RunDescription(
            runtime = engine.runtime,
            recipe = parts.first().recipe,
            computeUnit = engine.computeUnit(bundle.manifest.artifact(engine.runtime, DECODER)),
            artifactSha256 = parts.associate { it.component to it.sha256 },
            threads = DEFAULT_THREADS,
            loadMs = model.loadMs,
            peakMemoryBytes = peakMemoryBytes(),
            thermalBefore = thermalBefore,
            thermalAfter = thermalStatus(),
            configuration = if (BuildConfig.DEBUG) "debug" else "release",
            runtimeVersion = engine.runtimeVersion,
        )
    }

    override fun thermalStatus(): String {
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.Q) return "unknown"
        val status = context.getSystemService(PowerManager::class.java).currentThermalStatus
        return THERMAL_NAMES.getOrElse(status) { "unknown" }
    }
}

/** The most memory that this process has had, as Linux counts it; null where it does not say. */
fun peakMemoryBytes(): Long? = runCatching {
    val line = File("/proc/self/status").readLines().first { it.startsWith("VmHWM:") }
    line.filter(Char::isDigit).toLong() * BYTES_PER_KIB
}.getOrNull()

private const val BYTES_PER_KIB = 1024
