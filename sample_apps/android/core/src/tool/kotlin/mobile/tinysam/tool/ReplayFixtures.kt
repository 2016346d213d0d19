package mobile.tinysam.tool

import mobile.tinysam.core.Predictor
import mobile.tinysam.core.parseManifest
import mobile.tinysam.core.replay.DeviceDescription
import mobile.tinysam.core.replay.DumpWriter
import mobile.tinysam.core.replay.FixtureSet
import mobile.tinysam.core.replay.RecordedEngine
import mobile.tinysam.core.replay.Replay
import mobile.tinysam.core.replay.RunDescription
import mobile.tinysam.core.replay.filesIn
import java.io.File

/** Replays `fixtures` with the core around the recorded model, and writes the dump of it. */
fun replayFixtures(fixtures: File, manifestFile: File, target: File) {
    val manifest = parseManifest(manifestFile.readText())
    val set = FixtureSet.read(filesIn(fixtures), manifest.labels)
    DumpWriter(target).use { dump ->
        val replay = Replay(Predictor(RecordedEngine(set, manifest), manifest), set, dump)
        replay.run()
        val java = System.getProperty("java.version")
        val run = manifest.artifacts.firstOrNull()
        dump.finish(
            fixturesId = set.id,
            device = DeviceDescription(
                model = "Java $java",
                os = System.getProperty("os.name"),
                appVersion = "tool",
            ),
            run =
            RunDescription(
                runtime = run?.runtime ?: "recorded",
                recipe = run?.recipe ?: "recorded",
                computeUnit = "recorded",
                artifactSha256 =
                manifest.artifacts.filter { it.runtime == run?.runtime && it.recipe == run.recipe }
                    .associate { it.component to it.sha256 },
            ),
            latencies = replay.latencies,
        )
    }
    println("$target: ${set.photos.size} photos, ${set.photos.sumOf { it.prompts.size }} prompts")
}
