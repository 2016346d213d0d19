package mobile.tinysam.tool

import mobile.tinysam.core.EverythingGenerator
import mobile.tinysam.core.LabelMap
import mobile.tinysam.core.Predictor
import mobile.tinysam.core.RGB_CHANNELS
import mobile.tinysam.core.RecordingException
import mobile.tinysam.core.RgbImage
import mobile.tinysam.core.json.JsonFields
import mobile.tinysam.core.json.parseJsonObject
import mobile.tinysam.core.overlay
import mobile.tinysam.core.parseManifest
import mobile.tinysam.core.replay.EverythingCase
import mobile.tinysam.core.replay.FileTree
import mobile.tinysam.core.replay.filesIn
import mobile.tinysam.core.replay.readByteTensor
import mobile.tinysam.core.replay.readText
import java.awt.image.BufferedImage
import java.io.File
import javax.imageio.ImageIO

/** Replays the recorded everything mode of `folder` and draws its objects over the photo. */
fun renderOverlay(folder: File, target: File) {
    val files = filesIn(folder)
    val manifest = parseManifest(files.readText("manifest.json"))
    val cases = parseJsonObject(files.readText("everything.json"), "everything.json", ::RecordingException)
    val fields =
        cases.objects("cases").singleOrNull() ?: throw RecordingException("everything.json must hold one case")
    val case = EverythingCase.read(files, fields, manifest)
    val photo = readPhoto(files, fields.fields("pixels"))
    val result = EverythingGenerator(Predictor(case.engine, manifest), case.settings).generate(case.photo)
    write(overlay(photo, LabelMap.of(result.objects, photo.height, photo.width)), target)
    println("$target: ${result.objects.size} objects from ${result.visited.size} points")
}

private fun readPhoto(files: FileTree, tensor: JsonFields): RgbImage {
    val shape = tensor.integers("shape")
    if (shape.size != RGB_CHANNELS) tensor.wrong("shape", "height, width and $RGB_CHANNELS")
    return RgbImage(shape[0], shape[1], readByteTensor(files, tensor))
}

/** A binary PPM, or by its name a PNG. */
private fun write(photo: RgbImage, target: File) {
    if (target.extension != "png") {
        target.writeBytes("P6\n${photo.width} ${photo.height}\n255\n".encodeToByteArray() + photo.samples)
        return
    }
    val picture = BufferedImage(photo.width, photo.height, BufferedImage.TYPE_INT_RGB)
    val samples = IntArray(photo.samples.size) { photo.samples[it].toUByte().toInt() }
    picture.raster.setPixels(0, 0, photo.width, photo.height, samples)
    ImageIO.write(picture, "png", target)
}
