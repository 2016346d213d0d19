extension Predictor {
    /// Everything from boxes (MobileSAMv2, arXiv 2312.09579): one object for each of a detector's boxes, in their order.
    ///
    /// Nothing is filtered. A mask may be empty, and its box is then all 0. Throws `TinySAMError.prompt` for boxes that
    /// are malformed or outside the photo, and what the engine throws.
    public func objects(from boxes: [Box], on image: EncodedImage) async throws -> [SegmentedObject] {
        let upscaler = MaskUpscaler(geometry: image.geometry, maskSize: manifest.sizes.maskSize)
        let threshold = manifest.postprocess.maskThreshold
        var found: [SegmentedObject] = []
        for start in stride(from: 0, to: boxes.count, by: manifest.sizes.batch) {
            try Task.checkCancellation()
            let chosen = boxes[start..<min(start + manifest.sizes.batch, boxes.count)]
            let answers = try await decodeBatch(chosen.map { try Prompt(box: $0) }, on: image)
            for (box, answer) in zip(chosen, answers) {
                let best = answer.best
                let runs = RunLengths(upscaler.mask(answer.logits, at: best, above: threshold))
                found.append(
                    SegmentedObject(
                        runs: runs, box: runs.box, score: answer.scores[best],
                        // At low resolution, with the cuts of the rule that selects by it.
                        stability: stabilityScore(answer.logits.item(best).values, threshold: 0, offset: 1),
                        point: Point(x: (box.x0 + box.x1) / 2, y: (box.y0 + box.y1) / 2), maskIndex: best
                    ))
            }
        }
        return found
    }
}
