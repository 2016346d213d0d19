package mobile.tinysam.app

import android.content.ActivityNotFoundException
import android.content.Intent
import android.net.Uri
import android.os.Bundle
import androidx.activity.ComponentActivity
import androidx.activity.compose.setContent
import androidx.activity.enableEdgeToEdge
import androidx.activity.result.PickVisualMediaRequest
import androidx.activity.result.contract.ActivityResultContracts
import androidx.activity.viewModels
import androidx.compose.foundation.isSystemInDarkTheme
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Surface
import androidx.compose.material3.darkColorScheme
import androidx.compose.material3.lightColorScheme
import androidx.compose.runtime.getValue
import androidx.core.content.FileProvider
import androidx.lifecycle.Lifecycle
import androidx.lifecycle.compose.collectAsStateWithLifecycle
import androidx.lifecycle.lifecycleScope
import androidx.lifecycle.repeatOnLifecycle
import androidx.lifecycle.viewmodel.initializer
import androidx.lifecycle.viewmodel.viewModelFactory
import kotlinx.coroutines.flow.filterNotNull
import kotlinx.coroutines.launch
import java.io.File

/** The only screen; pickers, camera and share sheet belong to it, all else to the view model. */
class MainActivity : ComponentActivity() {
    private val viewModel: SegmentationViewModel by viewModels {
        viewModelFactory {
            // The view model outlives this activity, so it gets nothing of it.
            initializer {
                SegmentationViewModel(Models(applicationContext), PhotoLoader(applicationContext.contentResolver))
            }
        }
    }

    private val pickPhoto =
        registerForActivityResult(ActivityResultContracts.PickVisualMedia()) { uri -> uri?.let(viewModel::open) }

    private val takePhoto =
        registerForActivityResult(ActivityResultContracts.TakePicture()) { wasTaken ->
            if (wasTaken) viewModel.open(cameraPhoto())
        }

    override fun onCreate(savedInstanceState: Bundle?) {
        enableEdgeToEdge()
        super.onCreate(savedInstanceState)
        setContent {
            MaterialTheme(if (isSystemInDarkTheme()) darkColorScheme() else lightColorScheme()) {
                Surface {
                    val state by viewModel.state.collectAsStateWithLifecycle()
                    val choice by viewModel.choice.collectAsStateWithLifecycle()
                    val usesPlatformResize by viewModel.usesPlatformResize.collectAsStateWithLifecycle()
                    SegmentationScreen(state, choice, usesPlatformResize, actions())
                }
            }
        }
        lifecycleScope.launch {
            repeatOnLifecycle(Lifecycle.State.STARTED) {
                viewModel.dump.filterNotNull().collect {
                    viewModel.dumpWasShared()
                    share(it)
                }
            }
        }
    }

    private fun actions() = SegmentationActions(
        pickPhoto = {
            pickPhoto.launch(PickVisualMediaRequest(ActivityResultContracts.PickVisualMedia.ImageOnly))
        },
        takePhoto = { orSayWhyNot(R.string.no_camera) { takePhoto.launch(cameraPhoto()) } },
        chooseEngine = viewModel::loadModel,
        usePlatformResize = viewModel::usePlatformResize,
        onGesture = viewModel::onGesture,
        undo = viewModel::undo,
        refine = viewModel::refine,
        findEverything = viewModel::findEverything,
        compareEngines = viewModel::compareEngines,
        cancel = viewModel::cancel,
        clear = viewModel::clear,
        recordDump = if (viewModel.canReplay) viewModel::recordDump else null,
    )

    private fun share(dump: File) {
        val intent =
            Intent(Intent.ACTION_SEND)
                .setType("application/zip")
                .putExtra(Intent.EXTRA_STREAM, uriOf(dump))
                .addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION)
        startActivity(Intent.createChooser(intent, getString(R.string.share_dump)))
    }

    /** A phone may have no camera app at all. */
    private fun orSayWhyNot(text: Int, launch: () -> Unit) {
        try {
            launch()
        } catch (_: ActivityNotFoundException) {
            viewModel.tell(Notice.Known(text))
        }
    }

    private fun cameraPhoto(): Uri = uriOf(File(File(cacheDir, "photos").apply { mkdirs() }, "camera.jpg"))

    private fun uriOf(file: File): Uri = FileProvider.getUriForFile(this, "$packageName.files", file)
}
