@file:Suppress("unused")

package androidx.compose.ui.semantics

import androidx.compose.ui.Modifier
import mobile.tinysam.stubs.absent

class CustomAccessibilityAction(val label: String, val action: () -> Boolean)

interface SemanticsPropertyReceiver

var SemanticsPropertyReceiver.contentDescription: String
    get() = absent()
    set(_) = absent()

var SemanticsPropertyReceiver.customActions: List<CustomAccessibilityAction>
    get() = absent()
    set(_) = absent()

fun Modifier.semantics(
    mergeDescendants: Boolean = false,
    properties: SemanticsPropertyReceiver.() -> Unit,
): Modifier = absent()
