/// Values of a prompt slot's label: SAM's, and one for a slot that is not used. The manifest lists them.
public enum SlotLabel: Int32, CaseIterable, Sendable {
    case unused = -2
    case pad = -1
    case background = 0
    case foreground = 1
    case boxTopLeft = 2
    case boxBottomRight = 3
}

/// The decoder's inputs for K prompts of N slots.
public struct PackedPrompts: Equatable, Sendable {
    /// K.
    public let count: Int
    /// N.
    public let slots: Int
    /// f32 (K, N, 2): x, y in the S frame.
    public let coords: FloatTensor
    /// i32 (K, N).
    public let labels: [Int32]

    /// Packed prompts of one row each, joined and filled up with unused slots to `rows`.
    static func stacked(_ prompts: [PackedPrompts], rows: Int) -> PackedPrompts {
        precondition(prompts.count <= rows, "the caller splits prompts into calls")
        let slots = prompts.first?.slots ?? 0
        let spare = (rows - prompts.count) * slots
        let coords = FloatTensor(shape: [rows, slots, 2]) { coords in
            coords.update(repeating: 0)
            _ = coords.update(fromContentsOf: prompts.flatMap(\.coords.values))
        }
        let labels =
            prompts.flatMap(\.labels) + Array(repeating: SlotLabel.unused.rawValue, count: spare)
        return PackedPrompts(count: rows, slots: slots, coords: coords, labels: labels)
    }

    /// Prompt `index` as a dump holds it, f32 (N, 3): x, y and label of each slot.
    public func rows(of index: Int) -> FloatTensor {
        FloatTensor(shape: [slots, 3]) { rows in
            for slot in 0..<slots {
                let place = index * slots + slot
                rows[slot * 3] = coords[place * 2]
                rows[slot * 3 + 1] = coords[place * 2 + 1]
                rows[slot * 3 + 2] = Float(labels[place])
            }
        }
    }
}

/// Packs prompts as the official predictor does: the points, then the two corners of the box; points without
/// a box get exactly one pad point. Slots that are left over change nothing.
public struct PromptPacker: Sendable {
    private let slots: Int

    public init(manifest: Manifest) {
        self.init(slots: manifest.sizes.slots)
    }

    init(slots: Int) {
        self.slots = slots
    }

    /// Packs at most `rows` prompts; rows beyond the last prompt are made of unused slots.
    ///
    /// Unused slots lie at `spare`, which a test may move. Throws `TinySAMError.prompt` if a prompt needs
    /// more slots than the model has or lies outside the photo.
    public func pack(
        _ prompts: [Prompt], geometry: Geometry, rows: Int, spare: Float = 0
    ) throws -> PackedPrompts {
        precondition(prompts.count <= rows, "the caller splits prompts into calls")
        try prompts.forEach { try check($0, geometry.originalSize) }
        var labels = [Int32](repeating: SlotLabel.unused.rawValue, count: rows * slots)
        let coords = FloatTensor(shape: [rows, slots, 2]) { coords in
            coords.update(repeating: spare)
            for (row, prompt) in prompts.enumerated() {
                for (slot, (point, label)) in filled(prompt, geometry.originalSize).enumerated() {
                    let place = row * slots + slot
                    let inModel = geometry.toModel(point)
                    coords[place * 2] = Float(inModel.x)
                    coords[place * 2 + 1] = Float(inModel.y)
                    labels[place] = label.rawValue
                }
            }
        }
        return PackedPrompts(count: rows, slots: slots, coords: coords, labels: labels)
    }

    private func filled(_ prompt: Prompt, _ size: PixelSize) -> [(Point, SlotLabel)] {
        let points = prompt.points.map { ($0.location, $0.isForeground ? SlotLabel.foreground : .background) }
        if let box = prompt.box {
            return points + [
                (clipped(box.topLeft, size), .boxTopLeft), (clipped(box.bottomRight, size), .boxBottomRight),
            ]
        }
        return points.isEmpty ? [] : points + [(Point(x: 0, y: 0), .pad)]
    }

    /// A corner of a box that reaches over the border, where the network has seen nothing but padding.
    private func clipped(_ corner: Point, _ size: PixelSize) -> Point {
        Point(
            x: min(max(corner.x, 0), Double(size.width)), y: min(max(corner.y, 0), Double(size.height))
        )
    }

    private func check(_ prompt: Prompt, _ size: PixelSize) throws {
        guard prompt.slotCount <= slots else {
            throw TinySAMError.prompt(
                reason: "it takes \(prompt.slotCount) slots, this model has \(slots); give fewer points, or "
                    + "convert with --slots \(prompt.slotCount)"
            )
        }
        let (height, width) = (Double(size.height), Double(size.width))
        // SAM answers such prompts too, with noise; the usual cause is (y, x), or pixels of a resized copy.
        for point in prompt.points.map(\.location)
        where point.x < 0 || point.y < 0 || point.x > width || point.y > height {
            throw TinySAMError.prompt(
                reason: "the point \(point.x), \(point.y) (x, y) is outside the photo of width \(size.width) "
                    + "and height \(size.height)"
            )
        }
        // A detector's box may reach over the border, as long as part of it is in the photo.
        if let box = prompt.box, box.x0 > width || box.y0 > height || box.x1 < 0 || box.y1 < 0 {
            throw TinySAMError.prompt(
                reason: "the box \(box.x0), \(box.y0), \(box.x1), \(box.y1) is outside the photo of width "
                    + "\(size.width) and height \(size.height)"
            )
        }
    }
}
