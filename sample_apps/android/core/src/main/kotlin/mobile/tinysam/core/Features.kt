package mobile.tinysam.core

import java.nio.FloatBuffer

/**
 * What `encode` returned: everything that decoding needs of the image, by the contract's names.
 *
 * Only the manifest says how many tensors that is: the embedding, and in some families feature maps beside it.
 * `values` are float32 direct buffers that belong to the caller.
 */
class ImageFeatures(val values: Map<String, FloatBuffer>) {
    /**
     * All of them as one array, in the order of the encoder's outputs `specs`: the stage `embedding` of a dump, of shape
     * [joinedShape].  Throws [EngineException] if one of them is not there, or has another length.
     */
    fun joined(specs: List<TensorSpec>): FloatBuffer {
        val all = directFloats(specs.sumOf { it.count })
        for (spec in specs) all.put(part(spec))
        all.moveTo(0)
        return all
    }

    /** Throws [EngineException] unless these are the encoder's outputs `specs`. */
    fun requireAll(specs: List<TensorSpec>) = specs.forEach { part(it) }

    private fun part(spec: TensorSpec): FloatBuffer {
        val part = values[spec.name]?.duplicate() ?: throw EngineException("encode gave no ${spec.name}")
        part.moveTo(0)
        if (part.remaining() != spec.count) {
            throw EngineException("${spec.name} has ${part.remaining()} values, the manifest says ${spec.shape}")
        }
        return part
    }

    companion object {
        /** Nothing but zeros: of an engine that has no model. */
        fun zeros(specs: List<TensorSpec>) = ImageFeatures(specs.associate { it.name to directFloats(it.count) })

        /** The features of an encoder whose outputs are `specs`, from one array: how fixtures hold them. */
        fun split(joined: FloatArray, specs: List<TensorSpec>): ImageFeatures {
            require(
                joined.size == specs.sumOf {
                    it.count
                },
            ) { "${joined.size} values are not ${specs.map { it.name }}" }
            var start = 0
            return ImageFeatures(
                specs.associate { spec ->
                    val part = joined.copyOfRange(start, start + spec.count)
                    start += spec.count
                    spec.name to directFloats(part)
                },
            )
        }

        /** (C, G, G) of an embedding that is alone, else (n,) of all features end to end. */
        fun joinedShape(specs: List<TensorSpec>): List<Int> =
            specs.singleOrNull()?.shape?.drop(1) ?: listOf(specs.sumOf { it.count })
    }
}
