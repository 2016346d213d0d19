#if canImport(ExecuTorch)
import Dispatch
import ExecuTorch
import Foundation
import TinySAMKit

/// The .pte files of a bundle behind the contract.
///
/// A `Module` is not thread-safe and its calls block, so each engine has a queue of its own.
public actor ExecuTorchEngine: SegmentationEngine {
    private let queue = DispatchSerialQueue(label: "tinysam.executorch")
    public nonisolated var unownedExecutor: UnownedSerialExecutor { queue.asUnownedSerialExecutor() }

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
    }

    public func encode(image: FloatTensor, validSize: PixelSize) throws -> FloatTensor {
        let size = Tensor<Int32>([validSize.height, validSize.width].map(Int32.init), shape: [2])
        return try withExtendedLifetime(image) {
            try run(.encode, [tensor(lending: image), size])[0]
        }
    }

    public func decode(
        embedding: FloatTensor, prompt: PackedPrompts, maskInput: FloatTensor?
    ) throws -> DecoderAnswer {
        let mask = maskInput ?? FloatTensor(shape: maskShape) { $0.update(repeating: 0) }
        return try withExtendedLifetime((embedding, prompt.coords, mask)) {
            let hasMask = Tensor<Float>([maskInput == nil ? 0 : 1], shape: [1])
            let inputs: [any ValueConvertible] = [
                tensor(lending: embedding), tensor(lending: prompt.coords), labels(prompt),
                tensor(lending: mask), hasMask,
            ]
            return try answer(run(.decode, inputs))
        }
    }

    public func decodeBatch(embedding: FloatTensor, prompts: PackedPrompts) throws -> DecoderAnswer {
        try withExtendedLifetime((embedding, prompts.coords)) {
            try answer(
                run(
                    .decodeBatch,
                    [tensor(lending: embedding), tensor(lending: prompts.coords), labels(prompts)]
                ))
        }
    }

    private var maskShape: [Int] { signatures[.decode]?.inputs[3].shape ?? [] }

    private func answer(_ outputs: [FloatTensor]) -> DecoderAnswer {
        DecoderAnswer(lowResMasks: outputs[0], iouPredictions: outputs[1])
    }

    /// A view of a tensor's memory; the caller keeps the tensor alive.
    private func tensor(lending tensor: FloatTensor) -> Tensor<Float> {
        Tensor<Float>(bytesNoCopy: UnsafeMutableRawPointer(tensor.storage.start), shape: tensor.shape)
    }

    private func labels(_ prompts: PackedPrompts) -> Tensor<Int32> {
        Tensor<Int32>(prompts.labels, shape: [prompts.count, prompts.slots])
    }

    /// Outputs are copied: the module's next call writes over them.
    private func run(_ entry: EntryPoint, _ inputs: [any ValueConvertible]) throws -> [FloatTensor] {
        guard let (module, name) = methods[entry], let signature = signatures[entry] else {
            throw TinySAMError.engine(reason: "no .pte has '\(entry.rawValue)'")
        }
        let values: [Value] = try module.execute(name, inputs)
        guard values.count == signature.outputs.count else {
            throw TinySAMError.engine(
                reason:
                    "'\(entry.rawValue)' gave \(values.count) outputs instead of \(signature.outputs.count)"
            )
        }
        return try values.map { value in
            guard let output: Tensor<Float> = value.tensor() else {
                throw TinySAMError.engine(
                    reason: "'\(entry.rawValue)' gave an output that is no float tensor")
            }
            return try FloatTensor(shape: output.shape, values: output.scalars())
        }
    }
}
#endif
