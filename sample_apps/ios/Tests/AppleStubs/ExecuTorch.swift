// The part of ExecuTorch's Swift API that TinySAMExecuTorch calls (extension/apple/ExecuTorch/Exported), so that
// a compiler on Linux checks the types and the concurrency of the engine. Nothing here runs.
@_exported import Apple

public protocol Scalar {}
extension Float: Scalar {}
extension Int32: Scalar {}

public protocol ValueConvertible {
    func asValue() -> Value
}

public class Value: ValueConvertible {
    public func asValue() -> Value { self }
    public func tensor<T: Scalar>() -> Tensor<T>? { nil }
}

public final class Tensor<T: Scalar>: ValueConvertible {
    public init(_ scalars: [T], shape: [Int] = []) {}
    public init(bytesNoCopy pointer: UnsafeMutableRawPointer, shape: [Int]) {}
    public var shape: [Int] { [] }
    public func scalars() -> [T] { [] }
    public func asValue() -> Value { Value() }
}

public enum ModuleLoadMode { case file, mmap }

public class Module {
    public init(filePath: String, loadMode: ModuleLoadMode = .file) {}
    public func load(_ method: String) throws {}
    public func execute(_ method: String, _ inputs: [any ValueConvertible]) throws -> [Value] { [] }
}
