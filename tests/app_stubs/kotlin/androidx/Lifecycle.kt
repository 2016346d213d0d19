@file:Suppress("unused")

package androidx.lifecycle

import java.util.concurrent.Executors
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.ExecutorCoroutineDispatcher
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.asCoroutineDispatcher
import kotlinx.coroutines.cancel
import mobile.tinysam.stubs.absent

/** Stands for Android's main thread in the view model's tests. */
val mainThread: ExecutorCoroutineDispatcher =
    Executors.newSingleThreadExecutor { Thread(it, "main").apply { isDaemon = true } }.asCoroutineDispatcher()

// Real enough for tests: a scope on the main thread, which ends with the view model.
abstract class ViewModel {
    internal val scope = CoroutineScope(mainThread + SupervisorJob())

    protected open fun onCleared(): Unit = Unit

    fun end() {
        scope.cancel()
        onCleared()
    }
}

val ViewModel.viewModelScope: CoroutineScope get() = scope

abstract class Lifecycle {
    enum class State { CREATED, STARTED, RESUMED }
}

interface LifecycleOwner

suspend fun LifecycleOwner.repeatOnLifecycle(
    state: Lifecycle.State,
    block: suspend CoroutineScope.() -> Unit,
): Unit = absent()

val LifecycleOwner.lifecycleScope: CoroutineScope get() = absent()

class ViewModelProvider {
    interface Factory
}
