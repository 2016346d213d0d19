/// What an app does around the network, as data: a family differs from Segment Anything here, never by its name
/// (`docs/contract.md`).
public struct Rules: Hashable, Sendable {
    /// How a photo comes into the square of side S: its longest side becomes S, or both do.
    public enum Resize: String, CaseIterable, Sendable {
        case longestSide = "longest_side"
        case stretch
    }

    /// The length of the shorter side in whole pixels, never 0.
    public enum Rounding: String, CaseIterable, Sendable {
        case halfUp = "half_up"
        case down
    }

    /// Interpolation with half-pixel centres; the cubic has a = −0.5 for photos and −0.75 for masks.
    public enum Filter: String, CaseIterable, Sendable {
        case bilinear
        case bicubic
    }

    /// Each axis by the resized over the original length, or both by F / longest side.
    public enum PointScale: String, CaseIterable, Sendable {
        case perAxis = "per_axis"
        case uniform
    }

    /// Whether a prompt gets one slot of the pad label after its points and corners.
    public enum PadPoint: String, CaseIterable, Sendable {
        case withoutBox = "without_box"
        case always
        case never
    }

    /// Which of a prompt's masks is shown: the first of those with the highest score of this kind.
    public enum Selection: String, CaseIterable, Sendable {
        case predictedIoU = "predicted_iou"
        case stability
    }

    /// Whether low-resolution logits come to the photo's size over the frame of side F, or at once.
    public enum Upscale: String, CaseIterable, Sendable {
        case overFrame = "over_frame"
        case atOnce = "at_once"
    }

    public var resize = Resize.longestSide
    public var rounding = Rounding.halfUp
    public var filter = Filter.bilinear
    /// The filter's support grows with the shrink factor.
    public var antialias = true
    /// The resized photo is rounded to 8 bits.
    public var wholeValues = true
    public var pointScale = PointScale.perAxis
    /// Points and masks live in a frame of side F = S · `frameScale`.
    public var frameScale = 1
    public var padPoint = PadPoint.withoutBox
    /// Above 0: every prompt has as many.
    public var fixedPoints = 0
    /// Whether the model was trained with points off the object …
    public var negativePoints = true
    /// … and with masks as prompts.
    public var maskPrompts = true
    /// Masks of one prompt.
    public var numMasks = 3
    public var selection = Selection.predictedIoU
    public var upscale = Upscale.overFrame
    public var upscaleFilter = Filter.bilinear

    /// Those of Segment Anything and TinySAM.
    public static let sam = Rules()

    private init() {}
}

extension Rules: Decodable {
    private enum Key: String, CodingKey {
        case resize, rounding, filter, antialias, wholeValues, pointScale, frameScale, padPoint, fixedPoints
        case negativePoints, maskPrompts, numMasks, selection, upscale, upscaleFilter

        /// As the file has it.
        var field: String {
            "rules."
                + stringValue.reduce(into: "") { $0 += $1.isUppercase ? "_" + $1.lowercased() : String($1) }
        }
    }

    /// Throws `TinySAMError.manifest` that names a rule which this library does not know, and decoding errors.
    public init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: Key.self)
        resize = try Self.known(.resize, fields)
        rounding = try Self.known(.rounding, fields)
        filter = try Self.known(.filter, fields)
        antialias = try fields.decode(Bool.self, forKey: .antialias)
        wholeValues = try fields.decode(Bool.self, forKey: .wholeValues)
        pointScale = try Self.known(.pointScale, fields)
        frameScale = try Self.number(.frameScale, in: 1...8, fields)
        padPoint = try Self.known(.padPoint, fields)
        fixedPoints = try Self.number(.fixedPoints, in: 0...64, fields)
        negativePoints = try fields.decode(Bool.self, forKey: .negativePoints)
        maskPrompts = try fields.decode(Bool.self, forKey: .maskPrompts)
        numMasks = try Self.number(.numMasks, in: 1...4, fields)
        selection = try Self.known(.selection, fields)
        upscale = try Self.known(.upscale, fields)
        upscaleFilter = try Self.known(.upscaleFilter, fields)
        if upscale == .overFrame, upscaleFilter != .bilinear {
            throw Self.wrong(.upscaleFilter, "must be bilinear where masks are upscaled over the frame")
        }
        if wholeValues, !antialias { throw Self.wrong(.antialias, "must be true where values are whole") }
    }

    private static func known<Value: RawRepresentable<String> & CaseIterable>(
        _ key: Key, _ fields: KeyedDecodingContainer<Key>
    ) throws -> Value {
        let name = try fields.decode(String.self, forKey: key)
        guard let value = Value(rawValue: name) else {
            let all = Value.allCases.map(\.rawValue).joined(separator: ", ")
            throw wrong(key, "'\(name)' is unknown to this library, which knows \(all)")
        }
        return value
    }

    private static func number(
        _ key: Key, in range: ClosedRange<Int>, _ fields: KeyedDecodingContainer<Key>
    ) throws -> Int {
        let value = try fields.decode(Int.self, forKey: key)
        guard range.contains(value) else {
            throw wrong(key, "must be \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    private static func wrong(_ key: Key, _ reason: String) -> TinySAMError {
        .manifest(field: key.field, reason: reason)
    }
}
