/// What `encode` returned: everything that decoding needs of the image, by the contract's names.
///
/// Only the manifest says how many tensors that is: the embedding, and in some families feature maps beside it.
public struct ImageFeatures: Equatable, Sendable {
    /// f32, with the batch axis of length 1.
    public let values: [String: FloatTensor]

    public init(values: [String: FloatTensor]) {
        self.values = values
    }

    /// Nothing but zeros: of an engine that has no model.
    public static func zeros(_ specs: [TensorSpec]) -> ImageFeatures {
        ImageFeatures(
            values: specs.reduce(into: [:]) { values, spec in
                values[spec.name] = FloatTensor(shape: spec.shape) { $0.update(repeating: 0) }
            })
    }

    /// The features of an encoder whose outputs are `specs`, from one array of `joinedShape`: how fixtures hold them.
    ///
    /// Throws `TinySAMError.engine` if it has another length.
    public init(joined: FloatTensor, as specs: [TensorSpec]) throws {
        let counts = specs.map { $0.shape.reduce(1, *) }
        guard joined.count == counts.reduce(0, +) else {
            throw TinySAMError.engine(
                reason: "\(joined.count) values are not the features \(specs.map(\.name))")
        }
        var start = 0
        var values: [String: FloatTensor] = [:]
        for (spec, count) in zip(specs, counts) {
            values[spec.name] = FloatTensor(shape: spec.shape) { target in
                joined.withUnsafeValues { _ = target.update(fromContentsOf: $0[start..<start + count]) }
            }
            start += count
        }
        self.values = values
    }

    /// All of them as one array, in the order of the encoder's outputs `specs`: the stage `embedding` of a dump.
    ///
    /// Throws `TinySAMError.engine` if one of them is not there.
    public func joined(as specs: [TensorSpec]) throws -> FloatTensor {
        let parts = try specs.map { spec in
            guard let tensor = values[spec.name] else {
                throw TinySAMError.engine(reason: "'encode' gave no \(spec.name)")
            }
            return tensor
        }
        return try FloatTensor(shape: Self.joinedShape(of: specs), values: parts.flatMap(\.values))
    }

    /// (C, G, G) of an embedding that is alone, else (n,) of all features end to end.
    public static func joinedShape(of specs: [TensorSpec]) -> [Int] {
        specs.count == 1
            ? Array(specs[0].shape.dropFirst()) : [specs.reduce(0) { $0 + $1.shape.reduce(1, *) }]
    }
}
