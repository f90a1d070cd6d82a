"""Pillow's results for a small image, as the tests of the kernels want them: golden.txt."""
import random

from PIL import Image, ImageEnhance, ImageFilter, ImageOps

random.seed(1)
width, height = 16, 12
data = bytes(
    max(0, min(255, 20 + x * 9 + y * 5 * c + random.randrange(40)))
    for y in range(height) for x in range(width) for c in range(3)
)
image = Image.frombytes("RGB", (width, height), data)
size, fill = image.size, (10, 20, 30)
affine = dict(method=Image.Transform.AFFINE, fillcolor=fill)
bilinear = dict(resample=Image.Resampling.BILINEAR, **affine)
hue, saturation, value = image.convert("HSV").split()
turned = hue.point(lambda level: (level + int(0.2 * 255)) % 256)
results = {
    "image": image,
    "brightness 1.4": ImageEnhance.Brightness(image).enhance(1.4),
    "brightness 0.3": ImageEnhance.Brightness(image).enhance(0.3),
    "contrast 1.7": ImageEnhance.Contrast(image).enhance(1.7),
    "contrast 0.4": ImageEnhance.Contrast(image).enhance(0.4),
    "saturation 1.9": ImageEnhance.Color(image).enhance(1.9),
    "saturation 0.1": ImageEnhance.Color(image).enhance(0.1),
    "sharpness 1.9": ImageEnhance.Sharpness(image).enhance(1.9),
    "sharpness 0.1": ImageEnhance.Sharpness(image).enhance(0.1),
    "smooth": image.filter(ImageFilter.SMOOTH),
    "posterize 3": ImageOps.posterize(image, 3),
    "solarize 100": ImageOps.solarize(image, 100),
    "invert": ImageOps.invert(image),
    "autocontrast": ImageOps.autocontrast(image),
    "equalize": ImageOps.equalize(image),
    "luma": image.convert("L").convert("RGB"),
    "flip horizontal": ImageOps.mirror(image),
    "flip vertical": ImageOps.flip(image),
    "rotate 30": image.rotate(30, Image.Resampling.NEAREST, fillcolor=fill),
    "rotate -7 bilinear": image.rotate(-7, Image.Resampling.BILINEAR, fillcolor=fill),
    "shear x 0.3": image.transform(size, data=(1, 0.3, 0, 0, 1, 0), **affine),
    "shear y -0.2": image.transform(size, data=(1, 0, 0, -0.2, 1, 0), **affine),
    "translate 3 -2": image.transform(size, data=(1, 0, -3, 0, 1, 2), **affine),
    "shear x 0.3 bilinear": image.transform(size, data=(1, 0.3, 0, 0, 1, 0), **bilinear),
    "shear y -0.2 bilinear": image.transform(size, data=(1, 0, 0, -0.2, 1, 0), **bilinear),
    "translate 3.25 -1.5 bilinear": image.transform(size, data=(1, 0, -3.25, 0, 1, 1.5), **bilinear),
    "enlarged bilinear": image.transform(size, data=(0.37, 0.01, -0.3, 0.02, 0.29, 8.6), **bilinear),
    # The last column comes from within by less than 16.16 fixed point has; so does the first row from
    # without.
    "edges bilinear": image.transform(size, data=(1, 0, 0.4999999, 0, 1, -0.5000001), **bilinear),
    "hue 0.2": Image.merge("HSV", (turned, saturation, value)).convert("RGB"),
    "grey rotate 20 bilinear": image.convert("L").rotate(20, Image.Resampling.BILINEAR, fillcolor=10),
}
with open("golden.txt", "w") as file:
    for name, result in results.items():
        file.write(f"{name}: {result.tobytes().hex()}\n")
