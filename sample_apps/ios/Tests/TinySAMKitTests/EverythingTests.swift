import TinySAMFixtures
import XCTest

@testable import TinySAMKit

/// One test per case of `everything.json`: the whole exact mode on recorded decoder answers.
final class EverythingTests: XCTestCase {
    func testHierarchicalLandscape() async throws { try await check("hierarchical_landscape") }
    func testHierarchicalPortrait() async throws { try await check("hierarchical_portrait") }
    func testHierarchicalSquare() async throws { try await check("hierarchical_square") }
    func testHierarchicalTiedScores() async throws { try await check("hierarchical_tied_scores") }
    func testHierarchicalSmallPhoto() async throws { try await check("hierarchical_small_photo") }
    func testHierarchicalLargerPhoto() async throws { try await check("hierarchical_larger_photo") }
    func testHierarchicalStrictNMS() async throws { try await check("hierarchical_strict_nms") }
    func testHierarchicalHighScoreNever() async throws { try await check("hierarchical_high_score_never") }
    func testHierarchicalSoftOutlines() async throws { try await check("hierarchical_soft_outlines") }
    func testHierarchicalWideOffset() async throws { try await check("hierarchical_wide_offset") }
    func testHierarchicalTenPerSide() async throws { try await check("hierarchical_ten_per_side") }
    func testHierarchicalBudget() async throws { try await check("hierarchical_budget") }
    func testHierarchicalBudgetRound1() async throws { try await check("hierarchical_budget_round_1") }
    func testNoBudgetAtAll() async throws { try await check("no_budget_at_all") }
    func testHierarchicalSmallRegions() async throws { try await check("hierarchical_small_regions") }
    func testFlatLandscape() async throws { try await check("flat_landscape") }
    func testFlatPortrait() async throws { try await check("flat_portrait") }
    func testFlatTiedScores() async throws { try await check("flat_tied_scores") }
    func testFlatBudget() async throws { try await check("flat_budget") }
    func testFlatSmallRegions() async throws { try await check("flat_small_regions") }
    func testFlatOnePoint() async throws { try await check("flat_one_point") }
    func testFullyCovered() async throws { try await check("fully_covered") }
    func testFullyCoveredFlat() async throws { try await check("fully_covered_flat") }
    func testNoSurvivor() async throws { try await check("no_survivor") }
    func testNoSurvivorFlat() async throws { try await check("no_survivor_flat") }
    func testOnePixel() async throws { try await check("one_pixel") }
    func testOnePixelWithoutObject() async throws { try await check("one_pixel_without_object") }
    func testOneRow() async throws { try await check("one_row") }
    func testOneColumnFlat() async throws { try await check("one_column_flat") }

    private func check(_ name: String) async throws { try await check(name, of: "everything") }

    func testEveryCaseHasATest() throws {
        let cases: [EverythingCase] = try cases("everything")
        XCTAssertEqual(cases.count, 29, "a case was added: give it a test here")
    }
}

extension XCTestCase {
    /// Runs everything mode on a recording and compares all that it says.
    func check(_ name: String, of topic: String) async throws {
        let all: [EverythingCase] = try cases(topic)
        let expected = try XCTUnwrap(all.first { $0.name == name })
        let found = try await expected.generate(fixtures)
        XCTAssertEqual(found.decoderCalls, expected.decoderCalls)
        XCTAssertEqual(found.scoreCalls, expected.scoreCalls ?? 0)
        assertSame(found, expected)
        guard let calls = expected.decoderCallsWithoutScores else { return }
        let decoded = try await expected.generate(fixtures, scoring: false)
        XCTAssertEqual([decoded.decoderCalls, decoded.scoreCalls], [calls, 0], "without score_batch")
        assertSame(decoded, expected)
    }

    private func assertSame(_ found: EverythingResult, _ expected: EverythingCase) {
        XCTAssertEqual(flat(found.points), expected.visited)
        XCTAssertEqual(found.stoppedEarly, expected.stoppedEarly)
        XCTAssertEqual(found.objects.count, expected.objects.count)
        for (index, (object, wanted)) in zip(found.objects, expected.objects).enumerated() {
            let box = PixelBox(x0: wanted.box[0], y0: wanted.box[1], x1: wanted.box[2], y1: wanted.box[3])
            XCTAssertEqual(flat([object.point]), wanted.point, "object \(index)")
            XCTAssertEqual(object.maskIndex, wanted.maskIndex, "object \(index)")
            XCTAssertEqual(object.score, wanted.score, "object \(index)")
            XCTAssertEqual(object.stability, wanted.stability, "object \(index)")
            XCTAssertEqual(object.box, box, "object \(index)")
            XCTAssertEqual(object.runs.counts, wanted.counts, "object \(index)")
        }
    }
}
