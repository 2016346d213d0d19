import Foundation
import TinySAMKit

/// The fixtures that Python, Swift and Kotlin share (`docs/app_fixtures.md`): topics of cases, and tensors.
public struct SharedFixtures: Sendable {
    public let folder: URL

    public init(folder: URL) {
        self.folder = folder
    }

    /// A file of raw numbers that a case names.
    public struct Tensor: Decodable, Sendable {
        public let file: String
        public let dtype: String
        public let shape: [Int]

        public var count: Int { shape.reduce(1, *) }
    }

    private struct Topic<Case: Decodable>: Decodable {
        let layoutVersion: Int
        let cases: [Case]
    }

    /// The cases of `name`.json. Throws `TinySAMError.fixtures` for another layout, and decoding errors.
    public func cases<Case: Decodable>(_ name: String, of: Case.Type = Case.self) throws -> [Case] {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        let data = try Data(contentsOf: folder.appendingPathComponent("\(name).json"))
        let topic = try decoder.decode(Topic<Case>.self, from: data)
        guard topic.layoutVersion == 1 else {
            throw TinySAMError.fixtures(reason: "\(name).json has layout version \(topic.layoutVersion)")
        }
        return topic.cases
    }

    public func manifest() throws -> Manifest {
        try Manifest(contentsOf: folder.appendingPathComponent("manifest.json"))
    }

    /// Throws `TinySAMError.fixtures` if the tensor is of another type or length.
    public func bytes(_ tensor: Tensor) throws -> [UInt8] {
        [UInt8](try data(tensor, "uint8", MemoryLayout<UInt8>.size))
    }

    /// As `bytes`.
    public func signedBytes(_ tensor: Tensor) throws -> [Int8] {
        try data(tensor, "int8", MemoryLayout<Int8>.size).map { Int8(bitPattern: $0) }
    }

    /// As `bytes`.
    public func floats(_ tensor: Tensor) throws -> FloatTensor {
        let data = try data(tensor, "float32", MemoryLayout<Float>.size)
        return FloatTensor(shape: tensor.shape) { values in
            _ = data.copyBytes(to: values)
        }
    }

    private func data(_ tensor: Tensor, _ dtype: String, _ size: Int) throws -> Data {
        let data = try Data(contentsOf: folder.appendingPathComponent(tensor.file))
        guard tensor.dtype == dtype, data.count == tensor.count * size else {
            throw TinySAMError.fixtures(
                reason:
                    "\(tensor.file) is \(tensor.dtype) of \(data.count) bytes, not \(dtype) \(tensor.shape)"
            )
        }
        return data
    }
}
