package mobile.tinysam.core.replay

import mobile.tinysam.core.ModelSizes
import mobile.tinysam.core.Prompt
import mobile.tinysam.core.PromptLabels
import mobile.tinysam.core.RGB_CHANNELS
import mobile.tinysam.core.RecordingException
import mobile.tinysam.core.RgbImage
import mobile.tinysam.core.json.JsonFields
import mobile.tinysam.core.json.parseJsonObject
import mobile.tinysam.core.readSizes

/** Of the layout that fixtures and dumps share (docs/device_loop.md). */
internal const val LAYOUT_VERSION = 1

private const val INDEX = "fixtures.json"

/**
 * Photos and prompts that the app replays, as `tinysam-mobile fixtures` wrote them; `id` goes into the dump.
 *
 * [read] checks the index; tensors are read when they are asked for, and checked then.
 */
class FixtureSet private constructor(
    private val files: FileTree,
    val id: String,
    val sizes: ModelSizes,
    val photos: List<FixturePhoto>,
) {
    /** The photo's pixels; throws [RecordingException] for a damaged file. */
    fun pixels(photo: FixturePhoto): RgbImage {
        val count = photo.height * photo.width * RGB_CHANNELS
        return RgbImage(photo.height, photo.width, files.readBytes("${photo.name}/pixels.bin", count))
    }

    /** The prompt's mask prompt (m, m), or null if it has none. */
    fun maskInput(prompt: FixturePrompt): FloatArray? {
        if (!prompt.hasMaskInput) return null
        return files.readFloats("${prompt.name}/mask_input.bin", sizes.maskSize * sizes.maskSize)
    }

    /** What the float model answered at a stage of a photo or prompt, `count` float32. */
    fun expected(owner: String, stage: String, count: Int): FloatArray =
        files.readFloats("$owner/$stage.bin", count)

    companion object {
        /** Opens a fixtures folder; throws [RecordingException] that names what is wrong with its index. */
        fun read(files: FileTree, labels: PromptLabels): FixtureSet {
            val index = parseJsonObject(files.readText(INDEX), INDEX, ::RecordingException)
            val version = index.integer("layout_version")
            if (version != LAYOUT_VERSION) {
                throw RecordingException("$INDEX has layout version $version, this library reads $LAYOUT_VERSION")
            }
            val photos = index.objects("photos").mapIndexed { i, photo -> readPhoto("photo_$i", photo, labels) }
            return FixtureSet(files, index.text("id"), readSizes(index.fields("sizes")), photos)
        }

        private fun readPhoto(name: String, fields: JsonFields, labels: PromptLabels) = FixturePhoto(
            name = name,
            title = fields.text("title"),
            height = fields.positiveInteger("height"),
            width = fields.positiveInteger("width"),
            prompts =
            fields.objects("prompts").mapIndexed { i, prompt ->
                FixturePrompt(
                    name = "$name/prompt_$i",
                    prompt = readPrompt(prompt, labels),
                    hasMaskInput = prompt.flag("has_mask_input"),
                    spareXy = prompt.number("spare_xy").toFloat(),
                )
            },
        )
    }
}

/** A photo of the fixtures; `name` is the folder of its tensors. */
class FixturePhoto(
    val name: String,
    val title: String,
    val height: Int,
    val width: Int,
    val prompts: List<FixturePrompt>,
)

/** A prompt of the fixtures; `spareXy` goes into x and y of every unused slot, where it must change nothing. */
class FixturePrompt(val name: String, val prompt: Prompt, val hasMaskInput: Boolean, val spareXy: Float)

/** Reads `points`, `labels` and `box`; throws [mobile.tinysam.core.PromptException] for a prompt that is none. */
fun readPrompt(fields: JsonFields, labels: PromptLabels): Prompt = Prompt.of(
    points = fields.numbers("points"),
    labels = fields.integers("labels"),
    box = if (fields.isNull("box")) null else fields.numbers("box"),
    codes = labels,
)
