import TinySAMFixtures
import XCTest

@testable import TinySAMKit

final class PromptTests: XCTestCase {
    private struct PromptData: Decodable {
        let points: [Double]
        let labels: [Int]
        let box: [Double]?
        let hasMaskInput: Bool
    }

    private struct Case: Decodable {
        let name: String
        let imageSize, height, width, slots, batch: Int
        let prompts: [PromptData]
        let pointCoords: [Float]?
        let pointLabels: [Int32]?
        let error: String?
        let rules: Rules?

        /// As an app gets from what the user did to the decoder's inputs.
        func pack() throws -> PackedPrompts {
            let geometry = Geometry(
                originalSize: PixelSize(height: height, width: width), imageSize: imageSize,
                rules: rules ?? .sam)
            let made = try prompts.map {
                let prompt = try Prompt(coordinates: $0.points, labels: $0.labels, box: $0.box)
                try prompt.check(hasMaskPrompt: $0.hasMaskInput)
                return prompt
            }
            return try PromptPacker(slots: slots).pack(made, geometry: geometry, rows: batch)
        }
    }

    func testPacking() throws { try checkPacking("slots") }
    func testPackingByOtherRules() throws { try checkPacking("rules_slots") }

    private func checkPacking(_ topic: String) throws {
        let valid = try cases(topic).filter { (item: Case) in item.error == nil }
        XCTAssertFalse(valid.isEmpty)
        for item in valid {
            let packed = try item.pack()
            XCTAssertEqual(packed.coords.shape, [item.batch, item.slots, 2], item.name)
            XCTAssertEqual(packed.coords.values, item.pointCoords, item.name)
            XCTAssertEqual(packed.labels, item.pointLabels, item.name)
        }
    }

    func testTooManySlots() throws { try checkRefused("too_many_slots", "slots") }
    func testPointsOutside() throws { try checkRefused("point_outside", "outside") }
    func testBoxesOutside() throws { try checkRefused("box_outside", "outside") }
    func testBoxesWithExchangedCorners() throws { try checkRefused("box_order", "x0 <= x1") }
    func testUnknownLabels() throws { try checkRefused("bad_label", "labels are") }
    func testAsManyLabelsAsPoints() throws { try checkRefused("label_count", "a label per point") }
    func testNothingToPredictFrom() throws { try checkRefused("empty", "nothing to predict") }

    func testPointsOffTheObject() throws {
        try checkRefused("negative_point", "off the object", "rules_slots")
    }
    func testMoreThanTheFixedPoints() throws { try checkRefused("too_many_slots", "slots", "rules_slots") }

    private func checkRefused(_ kind: String, _ words: String, _ topic: String = "slots") throws {
        let bad = try cases(topic).filter { (item: Case) in item.error == kind }
        XCTAssertFalse(bad.isEmpty)
        for item in bad {
            XCTAssertThrowsError(try item.pack(), item.name) { error in
                XCTAssertTrue(isError(error) { if case .prompt = $0 { true } else { false } }, "\(error)")
                XCTAssertTrue(error.localizedDescription.contains(words), error.localizedDescription)
            }
        }
    }

    func testCoordinatesThatAreNotFinite() {
        for bad in [Double.nan, .infinity, -.infinity] {
            XCTAssertThrowsError(try Prompt(points: [PromptPoint(x: bad, y: 1)]))
            XCTAssertThrowsError(try Prompt(points: [PromptPoint(x: 1, y: bad)]))
            XCTAssertThrowsError(try Prompt(box: Box(x0: 0, y0: 0, x1: bad, y1: 1)))
            XCTAssertThrowsError(try Prompt(box: Box(x0: 0, y0: bad, x1: 1, y1: 1)))
        }
    }

    func testSpareSlotsLieWhereATestPutsThem() throws {
        let geometry = Geometry(originalSize: PixelSize(height: 10, width: 20), imageSize: 40)
        let prompt = try Prompt(points: [PromptPoint(x: 5, y: 2)])
        let packed = try PromptPacker(slots: 4).pack([prompt], geometry: geometry, rows: 1, spare: 7)
        XCTAssertEqual(packed.coords.values, [10, 4, 0, 0, 7, 7, 7, 7])
        XCTAssertEqual(packed.labels, [1, -1, -2, -2])
        XCTAssertEqual(packed.rows(of: 0).values, [10, 4, 1, 0, 0, -1, 7, 7, -2, 7, 7, -2])
    }

    func testStackedRowsAreThoseOfOneCall() throws {
        let geometry = Geometry(originalSize: PixelSize(height: 10, width: 20), imageSize: 40)
        let packer = PromptPacker(slots: 3)
        let prompts = try [
            Prompt(points: [PromptPoint(x: 5, y: 2)]), Prompt(box: Box(x0: 1, y0: 1, x1: 4, y1: 9)),
        ]
        let alone = try prompts.map { try packer.pack([$0], geometry: geometry, rows: 1) }
        let together = try packer.pack(prompts, geometry: geometry, rows: 4)
        XCTAssertEqual(PackedPrompts.stacked(alone, rows: 4), together)
    }
}
