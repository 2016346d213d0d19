package mobile.tinysam.core

/**
 * IoU of a mask cut at `threshold` + `offset` with itself cut at `threshold` − `offset`; 0 where both are empty.
 *
 * `logits` float32 in any shape.  From Segment Anything (arXiv 2304.02643, appendix B).
 */
fun stabilityScore(logits: FloatArray, threshold: Double, offset: Double): Float {
    val cuts = StabilityCuts(threshold, offset)
    return stabilityScore(countAbove(logits, cuts.inner), countAbove(logits, cuts.outer))
}

/** The two cuts, float32 as the logits that are compared with them. */
internal class StabilityCuts(threshold: Double, offset: Double) {
    val inner = (threshold + offset).toFloat()
    val outer = (threshold - offset).toFloat()
}

/** The score of a mask of which `inner` and `outer` pixels are above the two cuts. */
internal fun stabilityScore(inner: Int, outer: Int): Float = inner.toFloat() / maxOf(outer, 1).toFloat()
