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
    public var slotCount: Int {
        if box != nil { return points.count + Self.boxSlots }
        return points.isEmpty ? 0 : points.count + Self.padSlots
    }
}
