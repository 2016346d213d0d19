package mobile.tinysam.core

import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test

class LabelMapTest {
    private fun found(score: Float, vararg pixels: Int): SegmentedObject {
        val mask = Mask(2, 3, ByteArray(6).also { bytes -> pixels.forEach { bytes[it] = Mask.INSIDE } })
        val runs = RunLengths.encode(mask)
        return SegmentedObject(runs, runs.box, score, stability = 1f, PhotoPoint(0.0, 0.0), maskIndex = 0)
    }

    private fun labels(map: LabelMap) = IntArray(map.height * map.width) { map[it] }

    @Test
    fun `small lies above large`() {
        val map = LabelMap.of(listOf(found(0.9f, 0, 1, 2, 3), found(0.5f, 1)), 2, 3)
        assertArrayEquals(intArrayOf(1, 2, 1, 1, 0, 0), labels(map))
    }

    @Test
    fun `of equal areas the higher score, then the earlier lies above`() {
        val byScore = LabelMap.of(listOf(found(0.9f, 0, 1), found(0.8f, 1, 2)), 2, 3)
        assertArrayEquals(intArrayOf(1, 1, 2, 0, 0, 0), labels(byScore))
        val byOrder = LabelMap.of(listOf(found(0.9f, 0, 1), found(0.9f, 1, 2)), 2, 3)
        assertArrayEquals(intArrayOf(1, 1, 2, 0, 0, 0), labels(byOrder))
    }

    @Test
    fun `numbers beyond 15 bits stay positive`() {
        val many = List(40_000) { found(0.5f, it % 6) }
        assertEquals(setOf(1, 2, 3, 4, 5, 6), labels(LabelMap.of(many, 2, 3)).toSet())
        val last = List(39_999) { found(0.5f) } + found(0.5f, 4)
        assertEquals(40_000, LabelMap.of(last, 2, 3)[4])
    }

    @Test
    fun `more objects than 16 bits can number`() {
        val one = found(0.5f, 0)
        assertThrows(SettingsException::class.java) { LabelMap.of(List(65_536) { one }, 2, 3) }
    }

    @Test
    fun `the overlay mixes colours inside and draws a line between areas`() {
        val photo = RgbImage(2, 3, ByteArray(18) { 100 })
        val picture = overlay(photo, LabelMap.of(listOf(found(0.9f, 0, 1, 3, 4)), 2, 3))
        val mixed = objectColour(0).map { ((100 + it) / 2).toByte() }
        assertEquals(mixed, picture.samples.take(3))
        assertEquals(listOf<Byte>(-1, -1, -1), picture.samples.slice(3..5))
        assertEquals(listOf<Byte>(100, 100, 100), picture.samples.slice(6..8))
    }

    @Test
    fun `neighbouring colours differ`() {
        for (i in 0 until 100) {
            val difference = objectColour(i).zip(objectColour(i + 1).toList()).sumOf { (a, b) ->
                kotlin.math.abs(a - b)
            }
            check(difference > 60) { "the colours $i and ${i + 1} differ by $difference" }
        }
    }

    @Test
    fun `a map of another photo`() {
        assertThrows(ImageException::class.java) {
            overlay(RgbImage(3, 2, ByteArray(18)), LabelMap.of(emptyList(), 2, 3))
        }
    }
}
