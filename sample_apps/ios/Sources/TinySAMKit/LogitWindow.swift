/// What decides where a low-resolution mask is: its logits around the cells above the threshold, in half precision.
///
/// It reaches a few cells beyond the last one above. Farther out a pixel averages over cells below it only, whatever
/// they are.
struct LogitWindow: Sendable {
    private let side: Int
    private let rows: Range<Int>
    private let columns: Range<Int>
    private let halves: [UInt16]

    /// Cut out of a mask f32 (`side`, `side`), with `margin` cells around what is above `threshold`.
    init(_ logits: UnsafeBufferPointer<Float>, side: Int, margin: Int, above threshold: Float) {
        var (top, bottom, left, right) = (side, -1, side, -1)
        for y in 0..<side {
            for x in 0..<side where logits[y * side + x] > threshold {
                top = min(top, y)
                bottom = y
                left = min(left, x)
                right = max(right, x)
            }
        }
        self.side = side
        rows = bottom < 0 ? 0..<0 : max(top - margin, 0)..<min(bottom + 1 + margin, side)
        columns = bottom < 0 ? 0..<0 : max(left - margin, 0)..<min(right + 1 + margin, side)
        let columns = columns
        halves = rows.flatMap { y in columns.map { HalfFloat.bits(logits[y * side + $0]) } }
    }

    /// Of the memory that it takes.
    var byteCount: Int { halves.count * MemoryLayout<UInt16>.size }

    /// The mask f32 (side, side), with `outside` around the window.
    func whole(outside: Float) -> [Float] {
        var logits = [Float](repeating: outside, count: side * side)
        var next = 0
        for y in rows {
            for x in columns {
                logits[y * side + x] = HalfFloat.value(halves[next])
                next += 1
            }
        }
        return logits
    }
}
