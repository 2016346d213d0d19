import TinySAMFixtures
import XCTest

@testable import TinySAMKit

/// Every case of `from_boxes.json`: one object for each box, as on the host, from recorded decoder answers.
final class FromBoxesTests: XCTestCase {
    func testOneObjectForEachBox() async throws {
        for item: FromBoxesCase in try cases("from_boxes") {
            let found = try await item.found(fixtures)
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
