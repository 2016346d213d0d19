/// What of everything mode suits one checkpoint; read from its manifest only.
public struct EverythingThresholds: Equatable, Sendable {
    /// Points of the full grid along each side of the photo.
    public let pointsPerSide: Int
    /// A mask survives if its predicted IoU is above this …
    public var predictedIoU: Float { Float(predictedIoUNumber) }
    /// … and its stability is at least this.
    public let stability: Float
    /// Logits above and below the mask threshold at which stability compares two cuts of a mask.
    public let stabilityOffset: Float
    /// τ: a second-round point on a surviving mask with a logit above this is skipped.
    public let highScore: Float
    /// Box IoU above which of two masks the one of the lower score goes.
    public var boxIoU: Float { Float(boxIoUNumber) }

    /// As the manifest has them: margins are added before the sum becomes float32, as on the host.
    private let predictedIoUNumber: Double
    private let boxIoUNumber: Double

    func predictedIoU(less slack: Double) -> Float { Float(predictedIoUNumber - slack) }

    func boxIoU(shiftedBy margin: Double) -> Float { Float(boxIoUNumber + margin) }

    /// From the manifest's object `everything`. Throws `TinySAMError.manifest`.
    public init(_ named: [String: Double]) throws {
        var left = named
        func take(_ name: String) throws -> Double {
            guard let value = left.removeValue(forKey: name), value.isFinite else {
                throw TinySAMError.manifest(field: "everything.\(name)", reason: "must be a number")
            }
            return value
        }
        let side = try take("points_per_side")
        guard let pointsPerSide = Int(exactly: side), pointsPerSide > 0,
            pointsPerSide <= Int(UInt16.max)
        else {
            throw TinySAMError.manifest(
                field: "everything.points_per_side",
                reason: "must be a positive integer, not \(side)"
            )
        }
        self.pointsPerSide = pointsPerSide
        predictedIoUNumber = try take("pred_iou_thresh")
        stability = Float(try take("stability_score_thresh"))
        stabilityOffset = Float(try take("stability_score_offset"))
        highScore = Float(try take("high_score_thresh"))
        boxIoUNumber = try take("box_nms_thresh")
        if let unknown = left.keys.min() {
            throw TinySAMError.manifest(
                field: "everything.\(unknown)", reason: "is no threshold that this library knows; update it"
            )
        }
    }
}
