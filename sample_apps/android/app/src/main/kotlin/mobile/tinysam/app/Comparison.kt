package mobile.tinysam.app

import android.graphics.Bitmap
import kotlinx.coroutines.CancellationException
import mobile.tinysam.core.Mask
import mobile.tinysam.core.Prompt
import mobile.tinysam.core.PromptPoint
import mobile.tinysam.core.SearchEvent
import mobile.tinysam.core.differencePicture
import mobile.tinysam.platform.toBitmap

/** What one engine took on the photo, in milliseconds, or why it could not. */
data class ComparisonRow(val choice: EngineChoice, val times: Times? = null, val problem: Notice? = null) {
    /**
     * `agreement` is the IoU of the middle's mask with that of the CPU, or of the first engine that ran, and
     * `difference` shows where they are not the same; `peakMemoryBytes` is that of
     * the app so far, null where the phone does not say.
     */
    data class Times(
        val loadMs: Double,
        val encodeMs: Double,
        val decodeMs: Double,
        val everythingMs: Double,
        val objects: Int,
        val agreement: Double,
        val difference: Bitmap,
        val peakMemoryBytes: Long?,
        val thermal: String,
    )
}

/** Runs one photo on every engine that the app has, one after the other. */
class Comparison(private val models: ModelSource) {
    private var reference: Mask? = null

    /** Calls `show` with the rows so far after each engine; one that fails is a row too. */
    suspend fun run(photo: LoadedPhoto, show: (List<ComparisonRow>) -> Unit) {
        val rows = ArrayList<ComparisonRow>()
        for (choice in EngineChoice.entries) {
            rows +=
                try {
                    ComparisonRow(choice, times(choice, photo))
                } catch (error: CancellationException) {
                    throw error
                } catch (@Suppress("TooGenericExceptionCaught") error: Throwable) {
                    ComparisonRow(choice, problem = noticeOf(error))
                }
            show(rows.toList())
        }
    }

    private suspend fun times(choice: EngineChoice, photo: LoadedPhoto): ComparisonRow.Times {
        val model = models.open(choice)
        try {
            val (_, encodeMs) = timed { model.sam.setPhoto(photo.rows) }
            val middle = Prompt(listOf(PromptPoint(photo.rows.width / 2.0, photo.rows.height / 2.0)))
            // The first call of an entry point is slow, and no user's.
            model.sam.predict(middle)
            val (prediction, decodeMs) = timed { model.sam.predict(middle) }
            val mask = prediction.mask()
            var objects = 0
            val (_, everythingMs) = timed {
                model.sam.everything().collect { if (it is SearchEvent.Finished) objects = it.result.objects.size }
            }
            val expected = reference ?: mask.also { reference = it }
            return ComparisonRow.Times(
                loadMs = model.loadMs,
                encodeMs = encodeMs,
                decodeMs = decodeMs,
                everythingMs = everythingMs,
                objects = objects,
                agreement = mask.agreementWith(expected),
                difference = differencePicture(photo.rows, mask, expected).toBitmap(),
                peakMemoryBytes = peakMemoryBytes(),
                thermal = models.thermalStatus(),
            )
        } finally {
            model.sam.close()
        }
    }
}
