package mobile.tinysam.core

import mobile.tinysam.core.json.JsonFields
import mobile.tinysam.core.json.parseJsonObject
import mobile.tinysam.core.replay.FileTree
import mobile.tinysam.core.replay.filesIn
import mobile.tinysam.core.replay.readByteTensor
import mobile.tinysam.core.replay.readText
import java.io.File

/** What the Python host does, as data (docs/app_fixtures.md); Swift's and Python's tests read the same files. */
object SharedFixtures {
    val repository: File =
        generateSequence(File("").absoluteFile, File::getParentFile).firstOrNull { File(it, PATH).isDirectory }
            ?: error("run the tests inside the repository: no folder above this one has $PATH")

    val files: FileTree = filesIn(File(repository, PATH))

    val manifestText: String = files.readText("manifest.json")

    val manifest: Manifest = parseManifest(manifestText)

    /** The cases of a topic as JUnit's parameters: name and fields. */
    fun cases(topic: String): List<Array<Any>> {
        val file = parseJsonObject(files.readText("$topic.json"), "$topic.json", ::IllegalStateException)
        check(file.integer("layout_version") == 1)
        return file.objects("cases").map { arrayOf(it.text("name"), it) }
    }

    private const val PATH = "tests/golden/apps"
}

/** A tensor of bytes that a case names. */
fun JsonFields.bytes(key: String): ByteArray = readByteTensor(SharedFixtures.files, fields(key))

fun JsonFields.shape(key: String): List<Int> = fields(key).integers("shape").toList()

/** A tensor uint8 (H, W, 3), or (H, W) for a grey photo. */
fun JsonFields.photo(key: String): RgbImage {
    val shape = shape(key)
    return if (shape.size == 2) {
        RgbImage.ofGrey(shape[0], shape[1], bytes(key))
    } else {
        RgbImage(shape[0], shape[1], bytes(key))
    }
}

fun JsonFields.mask(key: String): Mask = Mask(shape(key)[0], shape(key)[1], bytes(key))

/** The rules of a case, SAM's where it has none. */
val JsonFields.rules: Rules get() = if ("rules" in keys) readRules(fields("rules")) else Rules.SAM

/** Numbers that are the text of a float32. */
fun JsonFields.floats(key: String): FloatArray = numbers(key).map { it.toFloat() }.toFloatArray()
