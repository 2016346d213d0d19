package mobile.tinysam.core

// COCO's compressed counts: each count, from the fourth on less the one two before, in chunks of 5 bits with a
// continuation bit, low bits first, shifted to printable ASCII.
private const val CHUNK_BITS = 5
private const val CHUNK_VALUES = 1 shl CHUNK_BITS
private const val CHUNK_SIGN = CHUNK_VALUES shr 1
private const val FIRST_CHARACTER = '0'

/** Chunks of one count: enough for 32 bits and a sign. */
private const val MAX_CHUNKS = 7

internal fun compressCounts(counts: IntArray): String {
    val text = StringBuilder()
    counts.forEachIndexed { i, count ->
        var value = if (i > 2) count - counts[i - 2] else count
        do {
            val chunk = value and (CHUNK_VALUES - 1)
            value = value shr CHUNK_BITS
            // The last chunk's top bit is the sign of the number.
            val more = value != if (chunk and CHUNK_SIGN != 0) -1 else 0
            text.append(FIRST_CHARACTER + chunk + if (more) CHUNK_VALUES else 0)
        } while (more)
    }
    return text.toString()
}

/** The inverse of [compressCounts]; throws [RunLengthException], but does not check the counts themselves. */
internal fun decompressCounts(text: String): LongArray {
    val counts = ArrayList<Long>()
    var value = 0L
    var shift = 0
    for (character in text) {
        val chunk = character - FIRST_CHARACTER
        if (chunk !in 0 until 2 * CHUNK_VALUES) {
            refuse(RunLengthFault.ALPHABET, "the character '$character' is not in COCO's alphabet")
        }
        value = value or ((chunk and (CHUNK_VALUES - 1)).toLong() shl shift)
        shift += CHUNK_BITS
        if (chunk and CHUNK_VALUES != 0) {
            if (shift == MAX_CHUNKS * CHUNK_BITS) refuse(RunLengthFault.TOO_LONG, "a number of more than 32 bits")
            continue
        }
        if (chunk and CHUNK_SIGN != 0) value -= 1L shl shift
        counts += if (counts.size > 2) value + counts[counts.size - 2] else value
        value = 0
        shift = 0
    }
    if (shift > 0) refuse(RunLengthFault.CUT, "they end in the middle of a number: the text is cut")
    return counts.toLongArray()
}

private fun refuse(fault: RunLengthFault, problem: String): Nothing =
    throw RunLengthException(fault, "counts are no run lengths: $problem")
