@file:Suppress("ktlint:standard:class-naming", "ktlint:standard:property-naming")

package mobile.tinysam.app

/** What the build makes of res/values/strings.xml; tests/sample_apps/test_android_strings.py compares the two. */
object R {
    object string {
        const val app_name: Int = 0
        const val loading_model: Int = 1
        const val no_photo: Int = 2
        const val encoding_photo: Int = 3
        const val pick_photo: Int = 4
        const val take_photo: Int = 5
        const val share_dump: Int = 6
        const val replaying: Int = 7
        const val litert_cpu: Int = 8
        const val litert_gpu: Int = 9
        const val litert_gpu_exact: Int = 10
        const val litert_npu: Int = 11
        const val executorch: Int = 12
        const val platform_resize: Int = 13
        const val photo: Int = 14
        const val place_middle: Int = 15
        const val place_left: Int = 16
        const val place_right: Int = 17
        const val place_top: Int = 18
        const val place_bottom: Int = 19
        const val on_object: Int = 20
        const val off_object: Int = 21
        const val undo: Int = 22
        const val refine: Int = 23
        const val clear: Int = 24
        const val everything: Int = 25
        const val compare_engines: Int = 26
        const val stop: Int = 27
        const val searching: Int = 28
        const val search_progress: Int = 29
        const val found: Int = 30
        const val found_so_far: Int = 31
        const val back_to_prompts: Int = 32
        const val tap_or_drag: Int = 33
        const val timing: Int = 34
        const val comparing: Int = 35
        const val compared_steps: Int = 36
        const val compared_search: Int = 37
        const val compared_phone: Int = 38
        const val difference_picture: Int = 39
        const val prompt_full: Int = 40
        const val other_runtime: Int = 41
        const val out_of_memory: Int = 42
        const val no_native_library: Int = 43
        const val photo_gone: Int = 44
        const val disk_trouble: Int = 45
        const val no_camera: Int = 46
    }
}
