/// The objects of everything mode on one sheet: each pixel belongs to the smallest object over it.
public struct LabelMap: Equatable, Sendable {
    public let size: PixelSize
    /// u16 (H, W): i + 1 for object i, else 0.
    public let labels: [UInt16]

    /// Paints large below small, then low score below high, then late below early, so that a part stays
    /// visible on its whole and equal inputs always give the same map.
    ///
    /// Throws `TinySAMError.image` for more objects than 16 bits can number, or of a photo of another size.
    public init(_ objects: [SegmentedObject], size: PixelSize) throws {
        guard objects.count <= Int(UInt16.max) else {
            throw TinySAMError.image(reason: "a label map holds at most \(UInt16.max) objects")
        }
        guard objects.allSatisfy({ $0.runs.size == size }) else {
            throw TinySAMError.image(reason: "an object is of a photo of another size")
        }
        let areas = objects.map(\.runs.area)
        let order = objects.indices.sorted { left, right in
            (-areas[left], objects[left].score, -left) < (-areas[right], objects[right].score, -right)
        }
        var labels = [UInt16](repeating: 0, count: size.area)
        for index in order { objects[index].runs.paint(UInt16(index + 1), into: &labels) }
        self.size = size
        self.labels = labels
    }
}
