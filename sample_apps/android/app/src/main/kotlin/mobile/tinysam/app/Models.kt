package mobile.tinysam.app

import android.content.Context
import android.os.Build
import android.os.PowerManager
import mobile.tinysam.core.Predictor
import mobile.tinysam.core.replay.DeviceDescription
import mobile.tinysam.core.replay.DumpWriter
import mobile.tinysam.core.replay.FixtureSet
import mobile.tinysam.core.replay.Replay
import mobile.tinysam.core.replay.RunDescription
import mobile.tinysam.platform.AppBundle
import mobile.tinysam.platform.EngineChoice
import mobile.tinysam.platform.openEngine
import java.io.File

/** More threads are slower on phones, which have few fast cores. */
private const val THREADS = 4

/** Names of `PowerManager.THERMAL_STATUS_…`, in their order. */
private val THERMAL_NAMES = listOf("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")

/** The app's bundle, its models, and the dumps that they give. */
class Models(private val context: Context) {
    // Read on first use: the app must start, and say what is missing, without a bundle.
    private val bundle by lazy { AppBundle(context) }
    private var loadMs: Double? = null

    /** Opens the model; throws [mobile.tinysam.core.TinySamException] that says what is missing or refused. */
    fun open(choice: EngineChoice): Predictor {
        val (engine, milliseconds) = timed { openEngine(bundle, choice, THREADS) }
        loadMs = milliseconds
        return Predictor(engine, bundle.manifest)
    }

    /** Replays the bundle's fixtures and returns the zip for `tinysam-mobile compare-dump`. */
    fun recordDump(predictor: Predictor, choice: EngineChoice, progress: (Int, Int) -> Unit): File {
        val fixtures = FixtureSet.read(bundle.fixtures, predictor.manifest.labels)
        val folder = File(context.cacheDir, "dumps").apply { mkdirs() }
        val target = File(folder, "dump.zip")
        DumpWriter(target).use { dump ->
            val thermalBefore = thermalStatus()
            val replay = Replay(predictor, fixtures, dump)
            replay.run(progress)
            dump.finish(fixtures.id, device(), describe(choice, thermalBefore), replay.latencies)
        }
        return target
    }

    private fun device() = DeviceDescription(
        model = Build.MODEL,
        os = "Android ${Build.VERSION.RELEASE}",
        appVersion = context.packageManager.getPackageInfo(context.packageName, 0).versionName.orEmpty(),
    )

    private fun describe(choice: EngineChoice, thermalBefore: String): RunDescription {
        val parts = bundle.manifest.artifacts.filter { it.runtime == choice.runtime }
        return RunDescription(
            runtime = choice.runtime,
            recipe = parts.first().recipe,
            computeUnit = choice.computeUnit,
            artifactSha256 = parts.associate { it.component to it.sha256 },
            threads = THREADS,
            loadMs = loadMs,
            thermalBefore = thermalBefore,
            thermalAfter = thermalStatus(),
        )
    }

    private fun thermalStatus(): String {
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.Q) return "unknown"
        val status = context.getSystemService(PowerManager::class.java).currentThermalStatus
        return THERMAL_NAMES.getOrElse(status) { "unknown" }
    }
}
