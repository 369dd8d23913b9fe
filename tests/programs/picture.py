"""The picture that ./demo draws: well-formed, complete, and of things that any run may bring."""
import os
import sys
import xml.etree.ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../vm"))
from harness import picture as drawing  # noqa: E402
from tree import MIB, expect  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"


def parsed(runs, title="t"):
    return xml.etree.ElementTree.fromstring(drawing.draw(runs, title))


def uses(root, kind):
    return [u for u in root.iter(SVG + "use") if u.get("class") == kind]


def picture(p):
    series = [(i / 4, i * 4 * MIB) for i in range(160)]
    marks = [(5, "pause"), (9.5, "resume"), (20, "finished"), (7, "kill")]
    guarded = drawing.Run("a < b & c", "\"d\"", 985 * MIB, 800 * MIB, series, marks, 39.6)
    other = drawing.Run("e", "f", 985 * MIB, 0, [(i, 900 * MIB) for i in range(60)], [(s, "oom") for s in range(8, 60)], 60.0)
    root = parsed([other, guarded])
    texts = [t.text for t in root.iter(SVG + "text")]
    expect("a < b & c" in texts and "e" in texts, texts)
    expect(texts.count("60 s") == 2 and "70 s" not in texts, "not the same axes")
    expect("limit of the work: 800 MiB" in texts and "over after 39.6 s" in texts, texts)
    # Each decision stands at the curve and in its row, a finished task in its row alone; the rows are counted.
    expect([len(uses(root, k)) for k in ("oom", "kill", "pause", "resume", "finished")] == [104, 2, 2, 2, 1], "marks")
    expect("52" in texts and texts.count("1") == 4, texts)
    left, right = drawing.LEFT, drawing.WIDTH - drawing.RIGHT
    expect(all(left <= float(u.get("x")) <= right for k in ("oom", "pause") for u in uses(root, k)), "a mark outside")
    shapes = {e.get("id") for e in root.iter() if e.get("id")}
    expect(all(u.get("href")[1:] in shapes for u in root.iter(SVG + "use")), "a mark without a shape")


def picture_of_little(p):
    for run in (drawing.Run("a", "b", 985 * MIB), drawing.Run("a", "b", 985 * MIB, 0, [(0.1, 5)], [(-1, "oom"), (900, "kill")], 0.2)):
        root = parsed([run])
        expect(all(float(u.get("x")) <= drawing.WIDTH for u in root.iter(SVG + "use")), "outside")
    expect(drawing.value_at([(0, 0), (10, 100)], 5) == 50 and drawing.value_at([], 5) == 0, "between two samples")
    expect(drawing.value_at([(1, 7), (2, 9)], 0) == 7 and drawing.value_at([(1, 7), (2, 9)], 5) == 9, "beyond the ends")


TESTS = [picture, picture_of_little]
