/// A point on the object or off it, in original-image pixels.
public struct PromptPoint: Hashable, Sendable {
    public let location: Point
    public let isForeground: Bool

    public init(x: Double, y: Double, isForeground: Bool = true) {
        location = Point(x: x, y: y)
        self.isForeground = isForeground
    }
}

/// Points and at most one box for one object, in original-image pixels. Nothing at all is a valid prompt
/// beside a mask prompt only.
public struct Prompt: Hashable, Sendable {
    public let points: [PromptPoint]
    public let box: Box?

    static let boxSlots = 2
    static let padSlots = 1

    /// Throws `TinySAMError.prompt` for coordinates that are not finite and for a box whose first corner is
    /// not its top left.
    public init(points: [PromptPoint] = [], box: Box? = nil) throws {
        for point in points where !(point.location.x.isFinite && point.location.y.isFinite) {
            throw TinySAMError.prompt(reason: "a point is not finite; give x, y in pixels of the photo")
        }
        if let box {
            guard [box.x0, box.y0, box.x1, box.y1].allSatisfy(\.isFinite) else {
                throw TinySAMError.prompt(reason: "the box is not finite; give x0, y0, x1, y1 in pixels")
            }
            guard box.x0 <= box.x1, box.y0 <= box.y1 else {
                throw TinySAMError.prompt(
                    reason: "the box must be x0, y0, x1, y1 with x0 <= x1 and y0 <= y1, not "
                        + "\(box.x0), \(box.y0), \(box.x1), \(box.y1)"
                )
            }
        }
        self.points = points
        self.box = box
    }

    /// The same from flat lists, as fixtures hold them: x0, y0, x1, y1, …; 1 on the object and 0 off it for
    /// each point; x0, y0, x1, y1. Throws `TinySAMError.prompt` also for lists of other lengths or labels.
    public init(coordinates: [Double], labels: [Int], box: [Double]?) throws {
        guard coordinates.count == 2 * labels.count else {
            throw TinySAMError.prompt(
                reason:
                    "\(coordinates.count) coordinates and \(labels.count) labels; give x, y and a label per point"
            )
        }
        if let label = labels.first(where: { !(0...1).contains($0) }) {
            throw TinySAMError.prompt(reason: "labels are 1 (on the object) or 0 (off it), not \(label)")
        }
        guard box == nil || box?.count == 4 else {
            throw TinySAMError.prompt(reason: "a box is four numbers x0, y0, x1, y1")
        }
        try self.init(
            points: labels.enumerated().map { i, label in
                PromptPoint(x: coordinates[2 * i], y: coordinates[2 * i + 1], isForeground: label == 1)
            },
            box: box.map { Box(x0: $0[0], y0: $0[1], x1: $0[2], y1: $0[3]) }
        )
    }

    /// Whether there is neither a point nor a box.
    public var isEmpty: Bool { points.isEmpty && box == nil }

    /// Throws `TinySAMError.prompt` if there is nothing to predict from.
    func check(hasMaskPrompt: Bool) throws {
        guard !isEmpty || hasMaskPrompt else {
            throw TinySAMError.prompt(reason: "there is nothing to predict from: give a point or a box")
        }
    }

    /// Slots that the prompt takes, with the pad point.
    public func slotCount(_ rules: Rules = .sam) -> Int {
        points.count + (box == nil ? 0 : Self.boxSlots) + (hasPadPoint(rules) ? Self.padSlots : 0)
    }

    /// Whether a slot of the pad label follows the points and corners.
    func hasPadPoint(_ rules: Rules) -> Bool {
        switch rules.padPoint {
        case .never: false
        case .always: !isEmpty
        case .withoutBox: !isEmpty && box == nil
        }
    }
}

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

/// Packs prompts as the official predictor does: the points, then the two corners of the box, then a pad point where the
/// rules of the geometry say so. Slots that are left over change nothing.
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
        for prompt in prompts {
            try check(prompt, geometry.rules)
            try check(prompt, geometry.originalSize)
        }
        var labels = [Int32](repeating: SlotLabel.unused.rawValue, count: rows * slots)
        let coords = FloatTensor(shape: [rows, slots, 2]) { coords in
            coords.update(repeating: spare)
            for (row, prompt) in prompts.enumerated() {
                let filled = filled(prompt, geometry)
                for slot in 0..<max(filled.count, geometry.rules.fixedPoints) {
                    let place = row * slots + slot
                    let (point, label) = slot < filled.count ? filled[slot] : (Self.filling, .pad)
                    coords[place * 2] = Float(point.x)
                    coords[place * 2 + 1] = Float(point.y)
                    labels[place] = label.rawValue
                }
            }
        }
        return PackedPrompts(count: rows, slots: slots, coords: coords, labels: labels)
    }

    /// In the frame: of the slots that fill a prompt up to a fixed number of points.
    private static let filling = Point(x: -1, y: -1)

    /// In the frame.
    private func filled(_ prompt: Prompt, _ geometry: Geometry) -> [(Point, SlotLabel)] {
        var slots = prompt.points.map { point in
            (geometry.toModel(point.location), point.isForeground ? SlotLabel.foreground : .background)
        }
        if let box = prompt.box {
            let corners = [box.topLeft, box.bottomRight].map { clipped($0, geometry.originalSize) }
            slots.append((geometry.toModel(corners[0]), .boxTopLeft))
            slots.append((geometry.toModel(corners[1]), .boxBottomRight))
        }
        if prompt.hasPadPoint(geometry.rules) { slots.append((Point(x: 0, y: 0), .pad)) }
        return slots
    }

    /// A corner of a box that reaches over the border, where the network has seen nothing but padding.
    private func clipped(_ corner: Point, _ size: PixelSize) -> Point {
        Point(
            x: min(max(corner.x, 0), Double(size.width)), y: min(max(corner.y, 0), Double(size.height))
        )
    }

    private func check(_ prompt: Prompt, _ rules: Rules) throws {
        guard rules.negativePoints || prompt.points.allSatisfy(\.isForeground) else {
            throw TinySAMError.prompt(
                reason: "this model was never trained with points off the object; leave them out")
        }
        let needed = prompt.slotCount(rules)
        guard rules.fixedPoints == 0 || needed <= rules.fixedPoints else {
            throw TinySAMError.prompt(
                reason:
                    "this model takes \(rules.fixedPoints) points, for which a box takes two slots; not \(needed)"
            )
        }
        guard needed <= slots else {
            throw TinySAMError.prompt(
                reason: "it takes \(needed) slots, this model has \(slots); give fewer points, or "
                    + "convert with --slots \(needed)"
            )
        }
    }

    private func check(_ prompt: Prompt, _ size: PixelSize) throws {
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
