@file:Suppress("unused")

package androidx.lifecycle

import kotlinx.coroutines.CoroutineScope

abstract class ViewModel {
    protected open fun onCleared(): Unit = TODO()
}

val ViewModel.viewModelScope: CoroutineScope get() = TODO()

interface LifecycleOwner

val LifecycleOwner.lifecycleScope: CoroutineScope get() = TODO()

class ViewModelProvider {
    interface Factory
}
