package mobile.tinysam.core

/**
 * Everything from boxes (MobileSAMv2, arXiv 2312.09579): one object for each of a detector's boxes, in their order.
 *
 * Nothing is filtered.  A mask may be empty, and its box is then [Box.EMPTY].  Throws [PromptException] for boxes that
 * are malformed or outside the photo.
 */
fun objectsFromBoxes(predictor: Predictor, photo: EncodedPhoto, boxes: List<PromptBox>): List<SegmentedObject> {
    val upscaler = predictor.upscaler(photo.geometry)
    return boxes.chunked(predictor.manifest.sizes.batch).flatMap { chosen ->
        val answer = predictor.decodePrompts(photo, chosen.map { Prompt(box = it) })
        chosen.mapIndexed { row, box ->
            val masks = List(answer.masksPerPrompt) { answer.logits(row, it) }
            val prediction = Prediction(masks, answer.scores(row), upscaler, predictor.manifest.rules)
            val best = prediction.best
            val runs = RunLengths.encode(prediction.mask())
            SegmentedObject(
                runs = runs,
                box = runs.box,
                score = prediction.scores[best],
                // At low resolution, with the cuts of the rule that selects by it.
                stability = stabilityScore(masks[best], threshold = 0.0, offset = 1.0),
                point = PhotoPoint((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2),
                maskIndex = best,
            )
        }
    }
}
