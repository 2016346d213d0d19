import Foundation

/// Files of raw numbers: C order, little-endian, no header (`docs/device_loop.md`).
///
/// Swift's platforms are all little-endian, so bytes are values as they are.
enum RawTensor {
    /// Reads u8 of `shape`. Throws `TinySAMError.file` if the file has another length.
    static func bytes(_ url: URL, shape: [Int]) throws -> [UInt8] {
        [UInt8](try read(url, bytes: shape.reduce(1, *)))
    }

    /// Reads f32 of `shape`. Throws `TinySAMError.file` if the file has another length.
    static func floats(_ url: URL, shape: [Int]) throws -> FloatTensor {
        let data = try read(url, bytes: shape.reduce(MemoryLayout<Float>.size, *))
        return FloatTensor(shape: shape) { values in
            _ = data.copyBytes(to: values)
        }
    }

    static func data(_ tensor: FloatTensor) -> Data {
        tensor.withUnsafeValues { Data(buffer: $0) }
    }

    private static func read(_ url: URL, bytes: Int) throws -> Data {
        let data: Data
        do {
            data = try Data(contentsOf: url)
        } catch {
            throw TinySAMError.file(path: url.path, reason: "cannot be read: \(error.localizedDescription)")
        }
        guard data.count == bytes else {
            throw TinySAMError.file(
                path: url.path,
                reason: "has \(data.count) bytes instead of \(bytes): it is cut or of other sizes"
            )
        }
        return data
    }
}
