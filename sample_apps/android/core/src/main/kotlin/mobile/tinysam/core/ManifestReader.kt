package mobile.tinysam.core

import mobile.tinysam.core.json.JsonFields
import mobile.tinysam.core.json.parseJsonObject

/** Of manifest.json; another one has other rules. */
private const val SCHEMA_VERSION = 1

private val SHA256 = Regex("[0-9a-f]{64}")

/**
 * Reads `manifest.json`; throws [ManifestException] that names the field at fault.
 *
 * Strict: what this library cannot do (another colour order, normalisation outside the graph, …) is refused here
 * and not found out by wrong masks.
 */
fun parseManifest(text: String): Manifest {
    val root = parseJsonObject(text, "manifest.json", ::ManifestException)
    val version = root.integer("schema_version")
    if (version != SCHEMA_VERSION) {
        throw ManifestException(
            "manifest.json has schema version $version, this library reads $SCHEMA_VERSION: " +
                "convert again or update the app",
        )
    }
    val sizes = readSizes(root.fields("sizes"))
    val rules = readRules(root.fields("rules"))
    if (rules.fixedPoints > sizes.slots) root.fields("sizes").wrong("slots", "${rules.fixedPoints} or more")
    val entryPoints = readEntryPoints(root.fields("entry_points"), sizes, rules)
    checkPreprocess(root.fields("preprocess"), sizes)
    checkPrompts(root.fields("prompts"), sizes)
    val postprocess = root.fields("postprocess")
    postprocess.require("low_res_size", sizes.maskSize)
    return Manifest(
        sizes = sizes,
        rules = rules,
        padValue = root.fields("preprocess").fields("pad").number("value").toFloat(),
        maskThreshold = postprocess.number("mask_threshold"),
        labels = readLabels(root.fields("prompts").fields("label_codes")),
        everything = readThresholds(root.fields("everything")),
        search = readSearch(root.fields("everything_search")),
        checkpointSha256 = root.fields("checkpoint").textOrNull("sha256"),
        entryPoints = entryPoints,
        artifacts = root.objects("artifacts").map(::readArtifact),
        runtimes = root.fields("runtimes").let { it.keys.associateWith(it::text) },
    )
}

internal fun readSizes(fields: JsonFields): ModelSizes {
    val sizes =
        ModelSizes(
            imageSize = fields.positiveInteger("image_size"),
            gridSize = fields.positiveInteger("grid_size"),
            maskSize = fields.positiveInteger("mask_size"),
            channels = fields.positiveInteger("channels"),
            slots = fields.positiveInteger("slots"),
            batch = fields.positiveInteger("batch"),
            scoreBatch = fields.positiveInteger("score_batch"),
        )
    if (sizes.imageSize > MAX_SIDE) fields.wrong("image_size", "at most $MAX_SIDE")
    if (sizes.maskSize > sizes.imageSize) fields.wrong("mask_size", "at most image_size")
    return sizes
}

private const val MAX_SIDE = 1 shl 14

private fun readEntryPoints(fields: JsonFields, sizes: ModelSizes, rules: Rules): Map<String, EntryPoint> {
    val encode = fields.fields(Contract.ENCODE)
    val features = encode.objects("outputs").map(::readTensor)
    checkFeatures(encode, features, sizes)
    val found = expectedInputs(sizes, features, rules).mapValues { (name, expected) ->
        readEntryPoint(fields.fields(name), expected)
    }
    for ((name, prompts) in listOf(Contract.DECODE to 1, Contract.DECODE_BATCH to sizes.batch)) {
        if (found.getValue(name).outputs != answers(prompts, rules.numMasks, sizes.maskSize)) {
            fields.fields(name).wrong("outputs", "low_res_masks and iou_predictions of $prompts prompts")
        }
    }
    if (Contract.SCORE_BATCH !in fields.keys) return found
    val scoring = fields.fields(Contract.SCORE_BATCH)
    // Feature maps beside the embedding are for masks alone.
    val slots = maxOf(SCORE_SLOTS, rules.fixedPoints)
    val scored = readEntryPoint(scoring, features.take(1) + prompts(sizes.scoreBatch, slots))
    if (scored.outputs != answers(sizes.scoreBatch, rules.numMasks, sizes.maskSize).drop(1)) {
        scoring.wrong("outputs", "iou_predictions of ${sizes.scoreBatch} prompts")
    }
    return found + (Contract.SCORE_BATCH to scored)
}

private fun readEntryPoint(entry: JsonFields, expected: List<TensorSpec>): EntryPoint {
    val inputs = entry.objects("inputs").map(::readTensor)
    if (inputs != expected) entry.wrong("inputs", "what 'sizes' says: ${expected.joinToString()}")
    return EntryPoint(inputs, entry.objects("outputs").map(::readTensor))
}

/** A point with its pad point, or a box. */
private const val SCORE_SLOTS = 2

/** All that decoding needs of the image: the embedding first, then feature maps of families that have some. */
private fun checkFeatures(fields: JsonFields, features: List<TensorSpec>, sizes: ModelSizes) {
    val embedding = float(Contract.IMAGE_EMBEDDINGS, 1, sizes.channels, sizes.gridSize, sizes.gridSize)
    val isKnown =
        features.firstOrNull() == embedding && features.all { it.dtype == embedding.dtype && it.isPossible }
    if (!isKnown || features.distinctBy { it.name }.size != features.size) {
        fields.wrong("outputs", "$embedding first, then float32 feature maps of other names")
    }
}

/** Whether such a tensor can be held; a product of any numbers may not even be a number. */
private val TensorSpec.isPossible: Boolean
    get() = shape.all { it > 0 } && shape.fold(1.0) { product, side -> product * side } <= Int.MAX_VALUE

private fun expectedInputs(
    sizes: ModelSizes,
    features: List<TensorSpec>,
    rules: Rules,
): Map<String, List<TensorSpec>> {
    val side = sizes.imageSize
    val masks = listOf(
        float(Contract.MASK_INPUT, 1, 1, sizes.maskSize, sizes.maskSize),
        float(Contract.HAS_MASK_INPUT, 1),
    )
    return mapOf(
        Contract.ENCODE to listOf(float(Contract.IMAGE, 1, RGB_CHANNELS, side, side), int(Contract.VALID_SIZE, 2)),
        Contract.DECODE to
            features + prompts(1, sizes.slots) + if (rules.maskPrompts) masks else emptyList(),
        Contract.DECODE_BATCH to features + prompts(sizes.batch, sizes.slots),
    )
}

private fun prompts(count: Int, slots: Int) =
    listOf(float(Contract.POINT_COORDS, count, slots, 2), int(Contract.POINT_LABELS, count, slots))

private fun answers(prompts: Int, masks: Int, side: Int): List<TensorSpec> = listOf(
    float(Contract.LOW_RES_MASKS, prompts, masks, side, side),
    float(Contract.IOU_PREDICTIONS, prompts, masks),
)

private fun float(name: String, vararg shape: Int) = TensorSpec(name, shape.toList(), "float32")

private fun int(name: String, vararg shape: Int) = TensorSpec(name, shape.toList(), "int32")

private fun readTensor(fields: JsonFields) =
    TensorSpec(fields.text("name"), fields.integers("shape").toList(), fields.text("dtype"))

private fun checkPreprocess(fields: JsonFields, sizes: ModelSizes) {
    fields.require("colour", "RGB")
    fields.require("normalised_by", "graph")
    fields.fields("resize").require("long_side", sizes.imageSize)
    fields.fields("pad").require("where", "right and bottom")
    val range = fields.integers("value_range").toList()
    if (range != listOf(0, BYTE_MASK)) fields.wrong("value_range", "that of 8 bits")
}

private fun checkPrompts(fields: JsonFields, sizes: ModelSizes) {
    fields.require("point_shift_applied_by", "graph")
    fields.require("slots", sizes.slots)
}

private fun JsonFields.require(key: String, expected: String) {
    if (text(key) != expected) wrong(key, "'$expected', the only one that this library knows")
}

private fun JsonFields.require(key: String, expected: Int) {
    if (integer(key) != expected) wrong(key, "$expected, as 'sizes' says")
}

private fun readLabels(fields: JsonFields) = PromptLabels(
    unused = fields.integer("unused"),
    pad = fields.integer("pad"),
    background = fields.integer("background"),
    foreground = fields.integer("foreground"),
    boxTopLeft = fields.integer("box_top_left"),
    boxBottomRight = fields.integer("box_bottom_right"),
)

private fun readThresholds(fields: JsonFields) = EverythingThresholds(
    pointsPerSide = fields.positiveInteger("points_per_side"),
    predIouThresh = fields.number("pred_iou_thresh"),
    stabilityScoreThresh = fields.number("stability_score_thresh"),
    stabilityScoreOffset = fields.number("stability_score_offset"),
    highScoreThresh = fields.number("high_score_thresh"),
    boxNmsThresh = fields.number("box_nms_thresh"),
)

private fun readSearch(fields: JsonFields) = EverythingSearch(
    coarseFactor = fields.positiveInteger("coarse_factor"),
    offsets =
    fields.integerLists("offsets").map {
        if (it.size != 2) fields.wrong("offsets", "a list of x, y")
        it[0] to it[1]
    },
    cropNmsThresh = fields.number("crop_nms_thresh"),
    cropOverlapRatio = fields.number("crop_overlap_ratio"),
    cropEdgePixels = fields.integer("crop_edge_pixels"),
    fast = readFastSearch(fields.fields("fast")),
)

/** Also of a case of `everything_fast.json`. */
internal fun readFastSearch(fields: JsonFields) = FastSearch(
    nearIouSlack = fields.number("near_iou_slack"),
    scoreSlack = fields.number("score_slack"),
    windowMarginCells = fields.positiveInteger("window_margin_cells"),
    maxWaitingBytes = fields.positiveInteger("max_waiting_bytes").toLong(),
    duplicateIous = fields.numbers("duplicate_ious").toList(),
    boxMargin = fields.number("box_margin"),
    stabilityMarginCells = fields.number("stability_margin_cells"),
)

private fun readArtifact(fields: JsonFields): Artifact {
    val entryPoints = fields.fields("entry_points")
    val sha256 = fields.text("sha256")
    if (!SHA256.matches(sha256)) fields.wrong("sha256", "64 hexadecimal digits")
    val path = fields.text("path")
    if (path.startsWith("/") || ".." in path.split('/')) fields.wrong("path", "a path inside the bundle")
    return Artifact(
        runtime = fields.text("runtime"),
        recipe = fields.text("recipe"),
        component = fields.text("component"),
        path = path,
        entryPoints = entryPoints.keys.associateWith(entryPoints::text),
        sha256 = sha256,
        sizeBytes = fields.count("size_bytes"),
        backend = if ("details" in fields.keys) fields.fields("details").textIfThere("backend") else null,
    )
}

private fun JsonFields.textIfThere(key: String): String? = if (key in keys) text(key) else null
