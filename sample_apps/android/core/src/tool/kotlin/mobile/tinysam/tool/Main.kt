package mobile.tinysam.tool

import mobile.tinysam.core.TinySamException
import java.io.File
import kotlin.system.exitProcess

private const val USAGE = """usage: tinysam-tool bench MANIFEST.json
       tinysam-tool memory MANIFEST.json
       tinysam-tool overlay FOLDER OUT.ppm|OUT.png    FOLDER: manifest.json, everything.json with one case, its files
       tinysam-tool replay FIXTURES MANIFEST.json DUMP.zip    the recorded engine answers what the fixtures expect"""

private const val EXIT_USAGE = 2
private const val EXIT_FAILED = 1

/** The core's command line, for machines without a phone. */
fun main(arguments: Array<String>) {
    try {
        if (!run(arguments.toList())) {
            System.err.println(USAGE)
            exitProcess(EXIT_USAGE)
        }
    } catch (error: TinySamException) {
        System.err.println("error: ${error.message}")
        exitProcess(EXIT_FAILED)
    }
}

/** Whether the arguments are a command. */
private fun run(arguments: List<String>): Boolean {
    when (arguments.firstOrNull() to arguments.size) {
        "bench" to 2 -> bench(File(arguments[1]))
        "memory" to 2 -> memory(File(arguments[1]))
        "overlay" to 3 -> renderOverlay(File(arguments[1]), File(arguments[2]))
        "replay" to 4 -> replayFixtures(File(arguments[1]), File(arguments[2]), File(arguments[3]))
        else -> return false
    }
    return true
}
