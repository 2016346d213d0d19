/// The part of low-resolution masks that lies on a photo.
struct LowResolutionExtent: Sendable {
    /// m, in cells.
    let side: Int
    private let photo: PixelSize
    /// Height and width of the photo in cells.
    private let height: Double
    private let width: Double
    private let rows: Int
    private let columns: Int

    init(geometry: Geometry, maskSize: Int) {
        func cells(_ valid: Int) -> Double { Double(valid * maskSize) / Double(geometry.imageSize) }
        // Python's round: an even number where two are as near.
        func whole(_ cells: Double) -> Int { max(1, Int(cells.rounded(.toNearestOrEven))) }
        side = maskSize
        photo = geometry.originalSize
        height = cells(geometry.validSize.height)
        width = cells(geometry.validSize.width)
        rows = whole(height)
        columns = whole(width)
    }

    /// Gives `body` each row on the photo of a mask f32 (m, m), and its length.
    func forEachRow(_ logits: UnsafeBufferPointer<Float>, _ body: (UnsafePointer<Float>, Int) -> Void) {
        guard let start = logits.baseAddress else { return }
        for y in 0..<rows { body(start + y * side, columns) }
    }

    /// Inclusive box in photo pixels, from where the largest logit of a row or column passes `threshold`, which is 0.
    func roughBox(_ logits: UnsafeBufferPointer<Float>, above threshold: Float) -> PixelBox {
        var byColumn = [Float](repeating: -.infinity, count: columns)
        var byRow = [Float](repeating: -.infinity, count: rows)
        for y in 0..<rows {
            for x in 0..<columns {
                let logit = logits[y * side + x]
                byColumn[x] = max(byColumn[x], logit)
                byRow[y] = max(byRow[y], logit)
            }
        }
        let (x0, x1) = pixels(byColumn, threshold, cells: width, pixels: photo.width)
        let (y0, y1) = pixels(byRow, threshold, cells: height, pixels: photo.height)
        return PixelBox(x0: x0, y0: y0, x1: x1, y1: y1)
    }

    /// First and last pixel between the ends of a profile.
    private func pixels(
        _ profile: [Float], _ threshold: Float, cells: Double, pixels: Int
    ) -> (Int, Int) {
        let (low, high) = ends(profile, threshold)
        let scale = Double(pixels) / cells
        let first = (Double(low) * scale - pixelCentre).rounded(.up)
        let last = (Double(high) * scale - pixelCentre).rounded(.up) - 1
        func clamped(_ place: Double) -> Int { Int(min(max(place, 0), Double(pixels - 1))) }
        return (clamped(first), clamped(last))
    }

    /// Where the first and the last run above the threshold begin and end, in cells.
    private func ends(_ profile: [Float], _ threshold: Float) -> (Float, Float) {
        guard let first = profile.firstIndex(where: { $0 > threshold }),
            let last = profile.lastIndex(where: { $0 > threshold })
        else { return (0, 0) }
        var (low, high) = (Float(0), Float(profile.count))
        if first > 0 {
            let step = profile[first] / (profile[first] - profile[first - 1])
            low = Float(Double(first) + pixelCentre) - step
        }
        if last < profile.count - 1 {
            let step = profile[last] / (profile[last] - profile[last + 1])
            high = Float(Double(last) + pixelCentre) + step
        }
        return (low, high)
    }
}
