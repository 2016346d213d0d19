/// An f32 array in C order. Copies share their memory, which never changes after creation, and which an
/// engine can lend to its SDK without copying for as long as it holds `storage`.
public struct FloatTensor: Sendable {
    public let shape: [Int]
    public let storage: FloatStorage

    /// `body` writes every value of an array of `shape`.
    public init(shape: [Int], initializingWith body: (UnsafeMutableBufferPointer<Float>) throws -> Void)
        rethrows
    {
        self.shape = shape
        self.storage = try FloatStorage(count: shape.reduce(1, *), initializingWith: body)
    }

    /// Throws `TinySAMError.engine` if `values` are not as many as `shape` says.
    public init(shape: [Int], values: [Float]) throws {
        guard values.count == shape.reduce(1, *) else {
            throw TinySAMError.engine(reason: "\(values.count) values are not a tensor of shape \(shape)")
        }
        self.init(shape: shape) { buffer in
            _ = buffer.update(fromContentsOf: values)
        }
    }

    public var count: Int { storage.count }

    /// A copy of the values.
    public var values: [Float] { withUnsafeValues { Array($0) } }

    public subscript(index: Int) -> Float { withUnsafeValues { $0[index] } }

    public func withUnsafeValues<Result>(
        _ body: (UnsafeBufferPointer<Float>) throws -> Result
    ) rethrows -> Result {
        try body(UnsafeBufferPointer(start: storage.start, count: storage.count))
    }

    /// A copy of item `index` of the first axis, which its shape loses: one prompt of a batch.
    public func item(_ index: Int) -> FloatTensor {
        let itemShape = Array(shape.dropFirst())
        let length = itemShape.reduce(1, *)
        return FloatTensor(shape: itemShape) { target in
            withUnsafeValues { source in
                _ = target.update(fromContentsOf: source[index * length..<(index + 1) * length])
            }
        }
    }
}

extension FloatTensor: Equatable {
    public static func == (left: FloatTensor, right: FloatTensor) -> Bool {
        left.shape == right.shape
            && left.withUnsafeValues { a in right.withUnsafeValues { b in a.elementsEqual(b) } }
    }
}

/// The memory of a `FloatTensor`.
///
/// Unchecked, because the compiler cannot see that nothing writes after `init`: the pointer is mutable only
/// since SDKs ask for that.
public final class FloatStorage: @unchecked Sendable {
    public let start: UnsafeMutablePointer<Float>
    public let count: Int

    init(count: Int, initializingWith body: (UnsafeMutableBufferPointer<Float>) throws -> Void) rethrows {
        self.count = count
        self.start = .allocate(capacity: count)
        start.initialize(repeating: 0, count: count)
        try body(UnsafeMutableBufferPointer(start: start, count: count))
    }

    deinit { start.deallocate() }
}
