@file:Suppress("unused")

package androidx.activity.result

import androidx.activity.result.contract.ActivityResultContracts
import mobile.tinysam.stubs.absent

abstract class ActivityResultLauncher<I> {
    abstract fun launch(input: I)
}

class PickVisualMediaRequest

fun PickVisualMediaRequest(
    mediaType: ActivityResultContracts.PickVisualMedia.VisualMediaType,
): PickVisualMediaRequest = absent()
