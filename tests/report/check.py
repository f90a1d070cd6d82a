"""Has Chromium show pages, and checks what must be there.

    check.py FOLDER PAGE...

Each page is shown in a frame of 400 and of 1,600 px, light and dark. Beside what is found wrong, it leaves a
screenshot of each in the folder.
"""

import html
import json
import pathlib
import re
import subprocess
import sys
import tempfile

WIDTHS = [400, 1600]
SCHEMES = {"dark": 0, "light": 1}

# What is measured in the page, in the page.
MEASURE = """
<script>
addEventListener("load", () => {
  const box = (element) => element.getBoundingClientRect();
  const all = (what) => [...document.querySelectorAll(what)];
  const scrolls = (element) => element.closest(".scroll, pre");
  const colours = getComputedStyle(document.body);
  parent.postMessage({
    width: document.documentElement.clientWidth,
    needed: document.documentElement.scrollWidth,
    height: document.documentElement.scrollHeight,
    ink: colours.color, paper: colours.backgroundColor,
    charts: all("svg").filter((svg) => box(svg).width > 0).map((svg) => [box(svg).width, box(svg).height]),
    label: Math.min(...all("svg text").filter((text) => box(text).width > 0).map((text) => box(text).height)),
    chartInk: all("svg text").map((text) => getComputedStyle(text).fill)[0],
    broken: all("img").filter((image) => !image.complete || image.naturalWidth == 0).length,
    pictures: all("img").length,
    outside: all("body *").filter((e) => !scrolls(e) && box(e).width > 0 &&
      box(e).right > document.documentElement.clientWidth + 1).map((e) => e.outerHTML.slice(0, 120)),
    headings: all("h2, h3").map((heading) => heading.textContent),
  }, "*");
});
</script>
"""

FRAME = """<!doctype html><meta name="color-scheme" content="light dark">
<body style="margin:0"><iframe style="border:0;width:{width}px;height:{height}px" src="{page}"></iframe>
<script>addEventListener("message", (event) => {{ document.body.dataset.found = JSON.stringify(event.data); }});</script>
"""


def chromium(*arguments):
    with tempfile.TemporaryDirectory() as profile:
        command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--user-data-dir={profile}", "--virtual-time-budget=8000", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120).stdout


def brightness(colour):
    red, green, blue = (int(part) for part in re.findall(r"\d+", colour)[:3])
    return 0.299 * red + 0.587 * green + 0.114 * blue


def check(found, width, scheme, page):
    """What is wrong, in words."""
    wrong = []
    if found["width"] != width:
        wrong.append(f"is {found['width']} px wide")
    if found["needed"] > width or found["outside"]:
        wrong.append(f"needs {found['needed']} px: {found['outside'][:3]}")
    if found["broken"]:
        wrong.append(f"has {found['broken']} pictures that cannot be shown")
    ink, paper = brightness(found["ink"]), brightness(found["paper"])
    chart = brightness(found["chartInk"])
    if (paper < 80) != (scheme == "dark") or abs(ink - paper) < 120 or abs(chart - paper) < 120:
        wrong.append(f"is {found['ink']} and {found['chartInk']} on {found['paper']}")
    if any(w > width or h < 120 for w, h in found["charts"]) or not found["charts"]:
        wrong.append(f"has charts of {found['charts']}")
    if found["label"] < 10:
        wrong.append(f"has words in charts that are {found['label']:.1f} px high")
    expected = {
        "one.html": ["Training", "Most confident mistakes", "Calibration", "Confusion", "Classes", "Experiment"],
        "two.html": ["Differences", "Training", "Most uncertain images", "Calibration"],
        "curves.html": ["Training", "Experiment"],
        "eval.html": ["Most confident mistakes", "Calibration", "Confusion", "Classes"],
    }
    missing = [heading for heading in expected[page] if heading not in found["headings"]]
    if missing:
        wrong.append(f"lacks {missing}")
    pictures = {"one.html": 48, "two.html": 96, "curves.html": 0, "eval.html": 96}[page]
    if found["pictures"] != pictures:
        wrong.append(f"has {found['pictures']} pictures, not {pictures}")
    return wrong


def main():
    folder = pathlib.Path(sys.argv[1]).resolve()
    failed = 0
    for name in sys.argv[2:]:
        text = (folder / name).read_text()
        measured = folder / f"measured-{name}"
        measured.write_text(text.replace("</body>", MEASURE + "</body>"))
        for scheme, number in SCHEMES.items():
            for width in WIDTHS:
                frame = folder / "frame.html"
                setting = f"--blink-settings=preferredColorScheme={number}"
                window = f"--window-size={max(width, 500)},900"
                frame.write_text(FRAME.format(width=width, height=900, page=measured.name))
                dom = chromium(setting, window, "--dump-dom", frame.as_uri())
                said = re.search(r'data-found="([^"]*)"', dom)
                title = f"{name}, {width} px, {scheme}"
                if not said:
                    print(f"{title}: the page says nothing")
                    failed += 1
                    continue
                found = json.loads(html.unescape(said[1]))
                wrong = check(found, width, scheme, name)
                failed += len(wrong)
                for problem in wrong:
                    print(f"{title}: {problem}")
                height = min(found["height"], 12000)
                frame.write_text(FRAME.format(width=width, height=height, page=measured.name))
                picture = folder / f"{name.removesuffix('.html')}-{width}-{scheme}.png"
                size = f"--window-size={max(width, 500)},{height}"
                chromium(setting, size, f"--screenshot={picture}", frame.as_uri())
                print(f"{title}: {found['height']} px high, {len(found['charts'])} charts: {picture}")
        measured.unlink()
    (folder / "frame.html").unlink()
    sys.exit(1 if failed else 0)


main()
