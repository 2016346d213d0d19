package mobile.tinysam.core

/**
 * Everything that this library throws on purpose.  Each message says what is wrong, where, and what to do.
 *
 * ```
 * TinySamException
 *   ManifestException      manifest.json is damaged, or of another version
 *   ImageException         a photo without pixels, or whose buffer has another length
 *   PromptException        a prompt that the model cannot take; `fault` says why
 *   SettingsException      settings of everything mode that contradict each other
 *   RunLengthException     run lengths that are no mask; `fault` says why
 *   RecordingException     fixtures or recordings that are damaged, or hold no answer to what is asked
 *   EngineException        a model that does not load, or answers with other shapes
 * ```
 */
sealed class TinySamException(message: String, cause: Throwable? = null) : Exception(message, cause)

class ManifestException(message: String) : TinySamException(message)

class ImageException(message: String) : TinySamException(message)

class PromptException(val fault: PromptFault, message: String) : TinySamException(message)

class SettingsException(message: String) : TinySamException(message)

class RunLengthException(val fault: RunLengthFault, message: String) : TinySamException(message)

class RecordingException(message: String) : TinySamException(message)

class EngineException(message: String, cause: Throwable? = null) : TinySamException(message, cause)

enum class PromptFault {
    TOO_MANY_SLOTS,
    POINT_OUTSIDE,
    BOX_OUTSIDE,
    BOX_ORDER,
    BAD_LABEL,
    LABEL_COUNT,
    NOT_FINITE,
    EMPTY,
    MASK_INPUT,
    NEGATIVE_POINT,
}

enum class RunLengthFault { CUT, ALPHABET, TOO_LONG, SUM }
