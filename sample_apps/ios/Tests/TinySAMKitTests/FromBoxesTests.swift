import TinySAMFixtures
import XCTest

@testable import TinySAMKit

/// Every case of `from_boxes.json`: one object for each box, as on the host, from recorded decoder answers.
final class FromBoxesTests: XCTestCase {
    private struct Case: Decodable {
        let name: String
        let height, width: Int
        let boxes: [Double]
        let logits: SharedFixtures.Tensor
        let scale: Float
        let recordedBoxes: [Float]
        let answers: [Int]
        let recordedScores: [Float]
        let objects: [EverythingCase.Object]

        var photoBoxes: [Box] {
            stride(from: 0, to: boxes.count, by: 4).map {
                Box(x0: boxes[$0], y0: boxes[$0 + 1], x1: boxes[$0 + 2], y1: boxes[$0 + 3])
            }
        }

        func engine(_ manifest: Manifest, _ features: ImageFeatures) throws -> RecordedEngine {
            let steps = try fixtures.signedBytes(logits)
            let shape = Array(logits.shape.dropFirst())
            let length = shape.reduce(1, *)
            let masks = manifest.masksPerPrompt
            var recorded: [RecordedEngine.Question: LowResolution] = [:]
            for (row, answer) in answers.enumerated() {
                let corners = recordedBoxes[row * 4..<row * 4 + 4].map { $0 }
                let slots = [
                    corners[0], corners[1], Float(SlotLabel.boxTopLeft.rawValue),
                    corners[2], corners[3], Float(SlotLabel.boxBottomRight.rawValue),
                ]
                recorded[.init(rows: try FloatTensor(shape: [2, 3], values: slots))] = LowResolution(
                    logits: try FloatTensor(
                        shape: shape,
                        values: steps[answer * length..<(answer + 1) * length].map { Float($0) * scale }),
                    scores: Array(recordedScores[row * masks..<(row + 1) * masks])
                )
            }
            return RecordedEngine(
                manifest: manifest, photos: [.init(image: nil, features: features, answers: recorded)])
        }
    }

    func testOneObjectForEachBox() async throws {
        let manifest = try fixtures.manifest()
        for item: Case in try cases("from_boxes") {
            let features = ImageFeatures(values: [:])
            let predictor = Predictor(manifest: manifest, engine: try item.engine(manifest, features))
            let size = PixelSize(height: item.height, width: item.width)
            let image = EncodedImage(
                features: features,
                geometry: Geometry(originalSize: size, imageSize: manifest.sizes.imageSize))
            let found = try await predictor.objects(from: item.photoBoxes, on: image)
            XCTAssertEqual(found.count, item.objects.count, item.name)
            for (object, wanted) in zip(found, item.objects) {
                XCTAssertEqual(flat([object.point]), wanted.point, item.name)
                XCTAssertEqual(object.maskIndex, wanted.maskIndex, item.name)
                XCTAssertEqual(object.score, wanted.score, item.name)
                XCTAssertEqual(object.stability, wanted.stability, item.name)
                let box = PixelBox(
                    x0: wanted.box[0], y0: wanted.box[1], x1: wanted.box[2], y1: wanted.box[3])
                XCTAssertEqual(object.box, box, item.name)
                XCTAssertEqual(object.runs.counts, wanted.counts, item.name)
            }
        }
    }
}
