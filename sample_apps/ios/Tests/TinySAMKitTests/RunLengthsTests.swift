import TinySAMFixtures
import XCTest

@testable import TinySAMKit

final class RunLengthsTests: XCTestCase {
    private struct Case: Decodable {
        let name: String
        let height, width: Int
        let compressed: String
        let counts: [Int]?
        let area: Int?
        let box: [Int]?
        let mask: SharedFixtures.Tensor?
        let error: String?

        var size: PixelSize { PixelSize(height: height, width: width) }
    }

    private func valid() throws -> [Case] { try cases("rle").filter { (item: Case) in item.error == nil } }

    private func withMask() throws -> [(Case, Mask)] {
        try valid().compactMap { item in try item.mask.map { (item, try fixtures.mask($0)) } }
    }

    func testCountsOfMasks() throws {
        for (item, mask) in try withMask() {
            XCTAssertEqual(RunLengths(mask).counts, item.counts, item.name)
        }
    }

    func testMasksOfCounts() throws {
        for (item, mask) in try withMask() {
            let runs = try RunLengths(size: item.size, counts: XCTUnwrap(item.counts))
            XCTAssertEqual(runs.mask, mask, item.name)
        }
    }

    func testCompression() throws {
        for item in try valid() {
            let runs = try RunLengths(size: item.size, counts: XCTUnwrap(item.counts))
            XCTAssertEqual(runs.compressed, item.compressed, item.name)
        }
    }

    func testDecompression() throws {
        for item in try valid() {
            XCTAssertEqual(
                try RunLengths(size: item.size, compressed: item.compressed).counts, item.counts, item.name)
        }
    }

    func testAreas() throws {
        for (item, _) in try withMask() {
            XCTAssertEqual(
                try RunLengths(size: item.size, compressed: item.compressed).area, item.area, item.name)
        }
    }

    func testBoxes() throws {
        for (item, _) in try withMask() {
            let wanted = try XCTUnwrap(item.box)
            let box = try RunLengths(size: item.size, compressed: item.compressed).box
            XCTAssertEqual([box.x0, box.y0, box.x1, box.y1], wanted, item.name)
        }
    }

    func testBadStringsAreRefused() throws {
        let bad = try cases("rle").filter { (item: Case) in item.error != nil }
        XCTAssertFalse(bad.isEmpty)
        for item in bad {
            XCTAssertThrowsError(try RunLengths(size: item.size, compressed: item.compressed), item.name) {
                XCTAssertTrue(isError($0) { if case .runLengths = $0 { true } else { false } }, "\($0)")
            }
        }
    }

    func testBadCountsAreRefused() {
        let size = PixelSize(height: 2, width: 3)
        for counts in [[], [7], [5], [-1, 7], [3, -1, 4], [Int.max, Int.max, 8]] {
            XCTAssertThrowsError(try RunLengths(size: size, counts: counts), "\(counts)")
        }
        let huge = PixelSize(height: .max, width: 2)
        XCTAssertThrowsError(try RunLengths(size: huge, counts: [0]))
    }

    func testWindowsAreThoseOfWholeMasks() throws {
        let size = PixelSize(height: 9, width: 21)
        for (rows, columns) in [
            (0..<9, 0..<21), (0..<9, 4..<8), (2..<9, 0..<21), (3..<5, 17..<21), (0..<1, 0..<1),
        ] {
            let window = PixelWindow(rows: rows, columns: columns)
            for density in [1, 2, 5] {
                let part = (0..<window.size.area).map { UInt8($0 * 7919 % 11 < 2 * density ? 1 : 0) }
                var whole = [UInt8](repeating: 0, count: size.area)
                for (place, value) in part.enumerated() {
                    let y = place / columns.count + rows.lowerBound
                    whole[y * size.width + place % columns.count + columns.lowerBound] = value
                }
                let found = part.withUnsafeBufferPointer {
                    RunLengths(window: window, pixels: $0, size: size)
                }
                XCTAssertEqual(found, RunLengths(try Mask(size: size, pixels: whole)), "\(window) \(density)")
            }
        }
    }

    func testAnEmptyWindowIsAnEmptyMask() {
        let size = PixelSize(height: 3, width: 4)
        let none: [UInt8] = []
        let runs = none.withUnsafeBufferPointer { RunLengths(window: .empty, pixels: $0, size: size) }
        XCTAssertEqual(runs.counts, [12])
        XCTAssertEqual(runs.box, PixelBox(x0: 0, y0: 0, x1: 0, y1: 0))
    }
}
