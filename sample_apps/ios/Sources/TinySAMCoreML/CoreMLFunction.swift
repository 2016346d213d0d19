#if canImport(CoreML)
import CoreML
import Foundation
import TinySAMKit

/// One function of a compiled model, called with arrays by the names of its signature.
///
/// Unchecked, because a model may be used on one queue at a time and on any: it is loaded once and then handed to its
/// engine, on whose queue alone it runs.
struct CoreMLFunction: @unchecked Sendable {
    private let signature: Signature
    private let model: MLModel

    /// A package made for iOS 17 holds one function of this name, which is not asked for.
    private static let onlyFunction = "main"

    /// Throws `TinySAMError.engine` if the model's own inputs and outputs are not those of `signature`.
    static func load(
        _ url: URL, function: String, signature: Signature, computeUnits: MLComputeUnits
    ) async throws -> CoreMLFunction {
        let configuration = MLModelConfiguration()
        configuration.computeUnits = computeUnits
        if function != onlyFunction { configuration.functionName = function }
        let model = try await MLModel.load(contentsOf: url, configuration: configuration)
        try check(model.modelDescription.inputDescriptionsByName, signature.inputs, function)
        try check(model.modelDescription.outputDescriptionsByName, signature.outputs, function)
        return CoreMLFunction(signature: signature, model: model)
    }

    /// Inputs by name, lent to Core ML; copies of the outputs by name.
    func run(_ inputs: [String: EntryPointInput]) throws -> [String: FloatTensor] {
        let arrays = try signature.ordered(inputs).map(MLMultiArray.init)
        let named = Dictionary(uniqueKeysWithValues: zip(signature.inputs.map(\.name), arrays))
        let answer = try model.prediction(from: MLDictionaryFeatureProvider(dictionary: named))
        return try signature.outputs.reduce(into: [:]) { found, output in
            guard let array = answer.featureValue(for: output.name)?.multiArrayValue else {
                throw TinySAMError.engine(reason: "Core ML gave no array '\(output.name)'")
            }
            found[output.name] = try FloatTensor(copying: array)
        }
    }

    private static func check(
        _ found: [String: MLFeatureDescription], _ wanted: [TensorSpec], _ function: String
    ) throws {
        for tensor in wanted {
            let shape = found[tensor.name]?.multiArrayConstraint?.shape.map(\.intValue)
            // Core ML does not know the shapes of all outputs: those are checked as they come.
            guard let shape, shape.isEmpty || shape == tensor.shape else {
                throw TinySAMError.engine(
                    reason: "'\(function)' has \(tensor.name) of shape \(shape ?? []) instead of "
                        + "\(tensor.shape); take the package that belongs to this manifest"
                )
            }
        }
    }
}

extension MLMultiArray {
    convenience init(_ input: EntryPointInput) throws {
        switch input {
        case let .floats(tensor): try self.init(lending: tensor)
        case let .integers(values, shape): try self.init(values, shape: shape)
        }
    }

    /// A view of a tensor's memory, which lives as long as the array.
    convenience init(lending tensor: FloatTensor) throws {
        let storage = tensor.storage
        var strides: [NSNumber] = []
        var stride = 1
        for length in tensor.shape.reversed() {
            strides.insert(NSNumber(value: stride), at: 0)
            stride *= length
        }
        try self.init(
            dataPointer: UnsafeMutableRawPointer(storage.start),
            shape: tensor.shape.map { NSNumber(value: $0) },
            dataType: .float32, strides: strides, deallocator: { _ in withExtendedLifetime(storage) {} }
        )
    }

    convenience init(_ values: [Int32], shape: [Int]) throws {
        try self.init(shape: shape.map { NSNumber(value: $0) }, dataType: .int32)
        // Core ML may pad the rows of an array that it makes itself.
        let length = shape.last ?? 1
        withUnsafeMutableBufferPointer(ofType: Int32.self) { numbers, strides in
            let rowStride = strides.count > 1 ? strides[strides.count - 2] : length
            for (index, value) in values.enumerated() {
                numbers[index / length * rowStride + index % length * (strides.last ?? 1)] = value
            }
        }
    }
}

extension FloatTensor {
    /// The values of a float32 or float16 array in C order, whatever its strides are.
    fileprivate init(copying array: MLMultiArray) throws {
        let shape = array.shape.map(\.intValue)
        switch array.dataType {
        case .float32:
            self = array.withUnsafeBufferPointer(ofType: Float.self) { values in
                FloatTensor(shape: shape, strides: array.strides.map(\.intValue)) { values[$0] }
            }
        #if !(os(macOS) && arch(x86_64))
        case .float16:
            self = array.withUnsafeBufferPointer(ofType: Float16.self) { values in
                FloatTensor(shape: shape, strides: array.strides.map(\.intValue)) { Float(values[$0]) }
            }
        #endif
        default:
            throw TinySAMError.engine(reason: "Core ML gave an array of type \(array.dataType), not float")
        }
    }

    private init(shape: [Int], strides: [Int], value: (Int) -> Float) {
        let (length, step) = (shape.last ?? 1, strides.last ?? 1)
        self.init(shape: shape) { target in
            for row in 0..<target.count / max(length, 1) {
                var (rest, offset) = (row, 0)
                for axis in shape.indices.dropLast().reversed() {
                    offset += rest % shape[axis] * strides[axis]
                    rest /= shape[axis]
                }
                for i in 0..<length { target[row * length + i] = value(offset + i * step) }
            }
        }
    }
}
#endif
