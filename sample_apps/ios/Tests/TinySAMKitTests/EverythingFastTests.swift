import TinySAMFixtures
import XCTest

@testable import TinySAMKit

/// One test per case of `everything_fast.json`: the same points, survivors and masks as the host's fast mode.
final class EverythingFastTests: XCTestCase {
    func testHierarchicalLandscape() async throws { try await check("hierarchical_landscape") }
    func testHierarchicalPortrait() async throws { try await check("hierarchical_portrait") }
    func testHierarchicalSquare() async throws { try await check("hierarchical_square") }
    func testHierarchicalTiedScores() async throws { try await check("hierarchical_tied_scores") }
    func testHierarchicalSmallPhoto() async throws { try await check("hierarchical_small_photo") }
    func testHierarchicalLargerPhoto() async throws { try await check("hierarchical_larger_photo") }
    func testHierarchicalStrictNms() async throws { try await check("hierarchical_strict_nms") }
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
    func testOverlapsThatRoughBoxesCannotJudge() async throws {
        try await check("overlaps_that_rough_boxes_cannot_judge")
    }
    func testRoughStabilityMeasuredAgain() async throws { try await check("rough_stability_measured_again") }
    func testLogitsThatHalvesRound() async throws { try await check("logits_that_halves_round") }
    func testLittleMemory() async throws { try await check("little_memory") }
    func testNoSlack() async throws { try await check("no_slack") }
    func testAllSlack() async throws { try await check("all_slack") }
    func testRoughBoxesNeverTrusted() async throws { try await check("rough_boxes_never_trusted") }
    func testScoresALittleLow() async throws { try await check("scores_a_little_low") }
    func testScoresALittleHigh() async throws { try await check("scores_a_little_high") }
    func testEveryPointDecoded() async throws { try await check("every_point_decoded") }
    func testFlatOverlaps() async throws { try await check("flat_overlaps") }
    func testLargePhoto() async throws { try await check("large_photo") }

    private func check(_ name: String) async throws { try await check(name, of: "everything_fast") }

    func testEveryCaseHasATest() throws {
        let cases: [EverythingCase] = try cases("everything_fast")
        XCTAssertEqual(cases.count, 41, "a case was added: give it a test here")
    }
}

/// float32 → float16, as masks wait for their full size.
final class HalfFloatTests: XCTestCase {
    private struct Case: Decodable {
        let name: String
        let values: [Float]
        let halves: [UInt16]
    }

    func testTellingNumbersAreRoundedAsOnTheHost() throws { try check("telling") }
    func testDrawnNumbersAreRoundedAsOnTheHost() throws { try check("drawn") }

    private func check(_ name: String) throws {
        let all: [Case] = try cases("half")
        let expected = try XCTUnwrap(all.first { $0.name == name })
        XCTAssertEqual(expected.values.map(HalfFloat.bits), expected.halves)
    }

    func testEveryHalfComesBack() {
        for bits in UInt16.min...UInt16.max {
            let value = HalfFloat.value(bits)
            if value.isNaN { continue }
            XCTAssertEqual(HalfFloat.bits(value), bits)
        }
    }

    func testNoNumberStaysNone() {
        XCTAssertTrue(HalfFloat.value(HalfFloat.bits(.nan)).isNaN)
        XCTAssertEqual(HalfFloat.value(HalfFloat.bits(-.infinity)), -.infinity)
    }
}
