#if canImport(ExecuTorch)
import Dispatch
import ExecuTorch
import Foundation
import TinySAMKit

/// The .pte files of a bundle behind the contract.
///
/// A `Module` is not thread-safe and its calls block, so each engine has a queue of its own.
public actor ExecuTorchEngine: EntryPointEngine {
    private let queue = DispatchSerialQueue(label: "tinysam.executorch")
    public nonisolated var unownedExecutor: UnownedSerialExecutor { queue.asUnownedSerialExecutor() }

    public nonisolated let maskSize: Int
    private let signatures: [EntryPoint: Signature]
    private let methods: [EntryPoint: (module: Module, name: String)]

    /// Loads the `recipe` of the bundle in `folder`, whose manifest is `manifest`.
    ///
    /// Throws `TinySAMError.manifest` if the bundle has no such artifacts, and ExecuTorch's own errors.
    public init(bundle folder: URL, manifest: Manifest, recipe: String) throws {
        var methods: [EntryPoint: (module: Module, name: String)] = [:]
        for artifact in try manifest.artifacts(runtime: "executorch", recipe: recipe) {
            let module = Module(
                filePath: folder.appendingPathComponent(artifact.path).path, loadMode: .mmap
            )
            for (name, method) in artifact.entryPoints {
                guard let entry = EntryPoint(rawValue: name) else { continue }
                try module.load(method)
                methods[entry] = (module, method)
            }
        }
        self.methods = methods
        signatures = manifest.entryPoints
        maskSize = manifest.sizes.maskSize
    }

    public func has(_ entry: EntryPoint) -> Bool { methods[entry] != nil && signatures[entry] != nil }

    /// Outputs are copied: the module's next call writes over them.
    public func run(_ entry: EntryPoint, _ inputs: [String: EntryPointInput]) throws -> [String: FloatTensor]
    {
        guard let (module, name) = methods[entry], let signature = signatures[entry] else {
            throw TinySAMError.engine(reason: "no .pte has '\(entry.rawValue)'")
        }
        let given = try signature.ordered(inputs)
        // Tensors are lent: they must outlive the call.
        let values: [Value] = try withExtendedLifetime(given) { try module.execute(name, given.map(tensor)) }
        guard values.count == signature.outputs.count else {
            throw TinySAMError.engine(
                reason:
                    "'\(entry.rawValue)' gave \(values.count) outputs instead of \(signature.outputs.count)"
            )
        }
        return try zip(signature.outputs, values).reduce(into: [:]) { found, output in
            guard let tensor: Tensor<Float> = output.1.tensor() else {
                throw TinySAMError.engine(
                    reason: "'\(entry.rawValue)' gave \(output.0.name), which is no float tensor")
            }
            found[output.0.name] = try FloatTensor(shape: tensor.shape, values: tensor.scalars())
        }
    }

    /// Floats are a view of the tensor's memory; the caller keeps it alive.
    private func tensor(_ input: EntryPointInput) -> any ValueConvertible {
        switch input {
        case let .floats(tensor):
            Tensor<Float>(bytesNoCopy: UnsafeMutableRawPointer(tensor.storage.start), shape: tensor.shape)
        case let .integers(values, shape): Tensor<Int32>(values, shape: shape)
        }
    }
}
#endif
